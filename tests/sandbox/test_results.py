"""Pages, included resources and reduced resources, over HTTP."""

import pytest

PAGE = ("_count", "40")


def test_walking_the_pages_gives_everything_once(sandbox, hospital):
    reply = sandbox.search("Observation", ("patient", "456"), PAGE, ("_sort", "-date"))
    expected = {
        f"Observation/{r['id']}"
        for r in hospital
        if r["resourceType"] == "Observation" and r["subject"]["reference"] == "Patient/456"
    }
    seen = []
    while True:
        assert reply.status == 200
        assert reply.json["total"] == len(expected) > 150
        assert len(reply.ids()) <= 40
        seen += reply.ids()
        following = reply.link("next")
        if following is None:
            break
        assert following.startswith(f"{sandbox.base}?_getpages=")
        assert "patient" not in following
        reply = sandbox.follow(following)
    assert len(seen) == len(expected)
    assert set(seen) == expected


def test_the_previous_page_leads_back(sandbox):
    first = sandbox.search("Encounter", ("_count", "10"))
    assert first.link("previous") is None
    second = sandbox.follow(first.link("next"))
    assert set(second.ids()).isdisjoint(first.ids())
    assert sandbox.follow(second.link("previous")).ids() == first.ids()
    assert sandbox.follow(second.link("self")).ids() == second.ids()


def test_a_page_shows_the_list_of_the_first_answer(sandbox):
    for name in "abc":
        sandbox.call("PUT", f"/Basic/{name}", {"resourceType": "Basic", "id": name})
    first = sandbox.search("Basic", ("_count", "2"))
    sandbox.call("DELETE", "/Basic/c")
    sandbox.call("PUT", "/Basic/d", {"resourceType": "Basic", "id": "d"})
    last = sandbox.follow(first.link("next"))
    assert last.ids() == []
    assert last.json["total"] == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?_getpages=00000000-0000-0000-0000-000000000000", 410),
        ("?_getpages=", 410),
        ("?_id=456", 400),
        ("", 400),
    ],
)
def test_unknown_pages_are_refused(sandbox, query, status):
    reply = sandbox.call("GET", query)
    assert reply.status == status
    assert reply.json["resourceType"] == "OperationOutcome"


def test_a_page_number_is_a_number(sandbox):
    link = sandbox.search("Encounter", ("_count", "10")).link("next")
    spoiled = link.replace("_getpagesoffset=10", "_getpagesoffset=ten")
    assert sandbox.follow(spoiled).status == 400


def test_count_zero_and_summary_count_give_numbers_only(sandbox):
    for pair in (("_count", "0"), ("_summary", "count")):
        reply = sandbox.search("Patient", pair)
        assert reply.json["total"] == 25
        assert "entry" not in reply.json
        assert reply.link("next") is None


def test_the_total_can_be_left_out(sandbox):
    assert "total" not in sandbox.search("Patient", ("_total", "none")).json


def test_include_brings_what_the_matches_name(sandbox):
    reply = sandbox.search(
        "MedicationRequest", ("patient", "456"), ("_include", "MedicationRequest:medication")
    )
    assert len(reply.ids()) == reply.json["total"] == 5
    assert set(reply.ids("include")) == {"Medication/med-861007", "Medication/med-617310"}


def test_include_can_be_limited_to_a_type(sandbox):
    pairs = [("_id", "obs-456-1-4548-4")]
    every = sandbox.search("Observation", *pairs, ("_include", "*")).ids("include")
    assert "Patient/456" in every
    assert "Encounter/enc-456-1" in every
    assert "ServiceRequest/sr-456-1-hba1c" in every
    one = sandbox.search("Observation", *pairs, ("_include", "Observation:subject:Patient"))
    assert one.ids("include") == ["Patient/456"]
    none = sandbox.search("Observation", *pairs, ("_include", "Observation:subject:Group"))
    assert none.ids("include") == []


def test_iterate_follows_what_was_included(sandbox):
    pairs = [("_id", "obs-456-1-4548-4"), ("_include", "Observation:encounter")]
    once = sandbox.search("Observation", *pairs)
    assert once.ids("include") == ["Encounter/enc-456-1"]
    further = sandbox.search(
        "Observation", *pairs, ("_include:iterate", "Encounter:service-provider")
    )
    assert "Organization/general-hospital" in further.ids("include")


def test_revinclude_brings_what_names_the_matches(sandbox):
    reply = sandbox.search(
        "DocumentReference", ("patient", "456"), ("_revinclude", "Provenance:target")
    )
    assert sorted(reply.ids()) == [f"DocumentReference/note-456-{n}" for n in (1, 2, 3)]
    assert sorted(reply.ids("include")) == [f"Provenance/prov-note-456-{n}" for n in (1, 2, 3)]


def test_a_search_can_reach_other_patients_by_inclusion(sandbox):
    """The server judges nothing: who stands in front must."""
    reply = sandbox.search("Group", ("_include", "Group:member"))
    assert "Patient/456" in reply.ids("include")
    assert len(reply.ids("include")) == 6


def test_elements_and_summary_data_cut_and_say_so(sandbox):
    cut = sandbox.search("Patient", ("_id", "789"), ("_elements", "birthDate,gender"))
    resource = cut.json["entry"][0]["resource"]
    assert set(resource) == {"resourceType", "id", "meta", "birthDate", "gender"}
    assert resource["meta"]["tag"][0]["code"] == "SUBSETTED"
    data = sandbox.search("CarePlan", ("patient", "456"), ("_summary", "data"))
    plan = data.json["entry"][0]["resource"]
    assert "text" not in plan
    assert plan["goal"]
    whole = sandbox.call("GET", "/CarePlan/plan-456").json
    assert "text" in whole
    assert "tag" not in whole["meta"]


def test_the_self_link_repeats_what_was_used(sandbox):
    reply = sandbox.search("Observation", ("code", "http://loinc.org|718-7"), ("shoe-size", "44"))
    assert reply.link("self") == (f"{sandbox.base}/Observation?code=http%3A%2F%2Floinc.org%7C718-7")
    assert reply.json["entry"][0]["fullUrl"].startswith(f"{sandbox.base}/Observation/obs-")
