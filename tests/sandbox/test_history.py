"""A history in pages, newest version first."""

import pytest

from smart.sandbox import history
from smart.sandbox.outcome import FhirError
from smart.sandbox.store import Version

ADDRESS = "http://127.0.0.1:1/fhir/Patient/1/_history"
VERSIONS = [
    Version("Patient", "1", 3, 3000, "DELETE", None),
    Version("Patient", "1", 2, 2000, "PUT", b'{"n":2}'),
    Version("Patient", "1", 1, 1000, "POST", b'{"n":1}'),
]


def test_pages_lead_from_one_to_the_next():
    first = history.page(VERSIONS, [("_count", "2")], ADDRESS)
    assert [one["request"]["method"] for one in first["entry"]] == ["DELETE", "PUT"]
    assert first["total"] == 3
    assert first["link"][1] == {"relation": "next", "url": f"{ADDRESS}?_count=2&_offset=2"}
    last = history.page(VERSIONS, [("_count", "2"), ("_offset", "2")], ADDRESS)
    assert [one["response"]["status"] for one in last["entry"]] == ["201"]
    assert [one["relation"] for one in last["link"]] == ["self"]
    assert last["entry"][0]["fullUrl"] == "http://127.0.0.1:1/fhir/Patient/1"


def test_versions_since_a_moment():
    later = history.page(VERSIONS, [("_since", "1970-01-01T00:00:02Z")], ADDRESS)
    assert [one["response"]["etag"] for one in later["entry"]] == ['W/"3"', 'W/"2"']
    assert "entry" not in history.page(VERSIONS, [("_since", "2999")], ADDRESS)


@pytest.mark.parametrize(
    "pair", [("_count", "x"), ("_offset", "-1"), ("_since", "soon"), ("x", "1")]
)
def test_other_parameters_are_refused(pair):
    with pytest.raises(FhirError) as caught:
        history.page(VERSIONS, [pair], ADDRESS)
    assert caught.value.status == 400
