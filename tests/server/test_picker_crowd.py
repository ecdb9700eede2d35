"""The picker in front of ten thousand patients (STND-02, STND-05)."""

import pytest

from tests.access.conftest import crowd, many, set_rules
from tests.server.picking import a_flow, every_page, picker_of, refused, search, shown

__all__ = ["crowd", "many"]


@pytest.mark.spec("STND-02", "STND-05")
def test_ten_thousand_patients(many):
    """Never more than a page at a time, whoever searches."""
    set_rules(many, "care-team", doctor="all")
    flow = a_flow(many, "doctor", fhir_user="Practitioner/123")
    path = picker_of(flow)
    first = search(flow, path, name="")
    second = flow.client.get(first.context["next_url"])
    assert len(set(shown(first)) | set(shown(second))) == 40
    assert len(first.content) < 60_000
    assert shown(search(flow, path, mrn="M07123")) == ["p07123"]
    assert shown(search(flow, path, name="castellan100")) == ["p02202"]


@pytest.mark.spec("STND-02", "STND-05", "D16")
def test_ten_thousand_patients_of_whom_some_are_mine(many):
    flow = a_flow(many, "nurse", fhir_user="Practitioner/456")
    path = picker_of(flow)
    pages = every_page(flow, path)
    assert [len(page) for page in pages] == [20, 20, 20, 20, 20]
    mine = {patient for page in pages for patient in page}
    assert mine == {f"p{number:05d}" for number in range(0, 10_000, 100)}
    assert shown(search(flow, path, mrn="M07100")) == ["p07100"]
    assert shown(search(flow, path, mrn="M07101")) == []
    refused(flow, path, patient="p07101")
