"""Patients and visits as lists show them, whatever a FHIR server sends."""

from datetime import date

import pytest

from smart import record_lines


def test_a_patient_in_one_line():
    line = record_lines.patient_line(
        {
            "id": "456",
            "name": [{"given": ["Margaret"], "family": "Ellis"}],
            "birthDate": "1958-03-14",
            "gender": "female",
            "identifier": [
                {"value": "1-2-3"},
                {"type": {"coding": [{"code": "MR"}]}, "value": "12344"},
            ],
        }
    )
    assert line == record_lines.PatientLine(
        "456", "Margaret Ellis", date(1958, 3, 14), "female", "12344"
    )


@pytest.mark.parametrize("birth_date", [None, "1958", "1958-03"])
def test_what_is_not_recorded_stays_empty(birth_date):
    line = record_lines.patient_line({"id": "1", "birthDate": birth_date})
    assert line == record_lines.PatientLine("1", "(no name)", None, "", "")


def test_visits_come_newest_first():
    visits = record_lines.visit_lines(
        {"id": name, "status": status, "period": {"start": f"{year}-01-01T08:00:00Z"}}
        for name, year, status in (("a", 2024, "finished"), ("b", 2026, "in-progress"))
    )
    assert [(visit.id, visit.is_open) for visit in visits] == [("b", True), ("a", False)]


@pytest.mark.parametrize("odd", [None, "x", 7, [], {}, ["x"], [None], {"coding": "x"}])
def test_odd_resources_do_no_harm(odd):
    members = ("id", "name", "identifier", "birthDate", "gender", "type", "period", "class")
    resource = dict.fromkeys(members, odd)
    assert record_lines.patient_line(resource).born is None
    assert record_lines.visit_line(resource).began is None
    assert record_lines.visit_lines([resource, {}])
