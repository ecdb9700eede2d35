"""Only the patient's own, covered resources leave; everything else is as if it were not there."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.gateway.bundles import Part, open_bundle, searchset
from smart.gateway.outcomes import UpstreamFault
from smart.gateway.response_gate import Kept, judge, known_of, open_resource, sift
from smart.gateway.rewrite import Rewriter
from smart.policy.facts import Access
from smart.policy.references import bases_of
from smart.scopes.match import covering
from smart.scopes.syntax import Interaction, Level, parse_scopes

UPSTREAM = "http://127.0.0.1:9000/fhir"
PUBLIC = "https://auth.example/t/mercy/fhir"
REWRITER = Rewriter.between(UPSTREAM, PUBLIC)
LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


def access(scope: str, *types: str, **changes: Any) -> Access:
    scopes = parse_scopes(scope)
    by_type = {
        name: covering(scopes, name, Interaction.READ, Level.PATIENT)
        for name in types or ("Observation",)
    }
    values: dict[str, Any] = {"patient": "A", "bases": bases_of(PUBLIC, UPSTREAM)}
    return Access(**(values | {"scopes": by_type} | changes))


ALL = access("patient/*.rs")
LAB_ONLY = access(f"patient/Observation.rs?category={LAB}")


def observation(number: int, patient: str = "A", category: str = "laboratory") -> dict[str, Any]:
    system, _, _ = LAB.partition("|")
    return {
        "resourceType": "Observation",
        "id": str(number),
        "subject": {"reference": f"Patient/{patient}"},
        "category": [{"coding": [{"system": system, "code": category}]}],
    }


def bundle(*resources: Any, **changes: Any) -> bytes:
    entries = [
        {"fullUrl": f"{UPSTREAM}/x/{n}", "resource": one, "search": {"mode": "match", "score": 1}}
        for n, one in enumerate(resources)
    ]
    whole = {"resourceType": "Bundle", "id": "q1", "type": "searchset", "total": 99}
    return orjson.dumps(whole | {"entry": entries} | changes)


def gate(body: bytes, allowed: Access = ALL) -> list[Kept]:
    entries = open_bundle(body, "searchset").entries
    return sift(entries, allowed, known_of((entry.resource for entry in entries), allowed))


def ids(kept: list[Kept]) -> list[str]:
    return [one.key[1] for one in kept]


def written(kept: list[Kept]) -> dict[str, Any]:
    parts = [Part(*one.key, one.entry.raw) for one in kept]
    found: dict[str, Any] = orjson.loads(searchset(parts, [], REWRITER, total=len(parts)))
    return found


@pytest.mark.spec("G11", "G12", "G13", "G42")
@pytest.mark.parametrize(
    ("resource", "allowed", "expected"),
    [
        (observation(1), ALL, True),
        (observation(1, "B"), ALL, False),
        (observation(1), LAB_ONLY, True),
        (observation(1, category="vital-signs"), LAB_ONLY, False),
        (observation(1), access("patient/Condition.rs"), False),
        (observation(1), access("patient/*.rs", "Condition"), False),
        (observation(1), access("patient/*.rs", only=("Observation", "1")), True),
        (observation(2), access("patient/*.rs", only=("Observation", "1")), False),
        (observation(1), access("patient/*.rs", only=("Condition", "1")), False),
        (observation(1) | {"id": ".."}, ALL, False),
        (observation(1) | {"id": None}, ALL, False),
        (observation(1) | {"resourceType": 7}, ALL, False),
        (observation(1) | {"contained": [{"resourceType": "Patient", "id": "p"}]}, ALL, False),
        ({"resourceType": "Medication", "id": "m"}, access("patient/*.rs", "Medication"), True),
        (
            {
                "resourceType": "Medication",
                "id": "m",
                "contained": [{"resourceType": "Patient", "id": "p"}],
            },
            access("patient/*.rs", "Medication"),
            False,
        ),
        ({"resourceType": "Group", "id": "g"}, access("patient/*.rs", "Group"), False),
        ({"resourceType": "OperationOutcome", "id": "o"}, ALL, False),
        (None, ALL, False),
        ([observation(1)], ALL, False),
    ],
)
def test_judge(resource, allowed, expected):
    assert judge(resource, allowed) is expected


@pytest.mark.spec("RSVR-13")
def test_own_user_needs_no_scope_but_is_that_one_resource():
    person = {"resourceType": "Person", "id": "7"}
    own = access("", "Person", only=("Person", "7"), is_own_user=True)
    assert judge(person, own)
    assert not judge(person | {"id": "8"}, own)


@pytest.mark.spec("G22", "G36")
@pytest.mark.parametrize("body", [b"<html>", b"", b'{"a":1', b'{"id":"1","id":"2"}'])
def test_a_read_that_is_no_resource_is_a_fault(body):
    with pytest.raises(UpstreamFault):
        open_resource(body)


@pytest.mark.spec("G15", "GRAN-02", "GRAN-11")
def test_a_bundle_keeps_what_may_leave_and_counts_it_itself():
    body = bundle(
        observation(1),
        observation(2, "B"),
        {"resourceType": "Condition", "id": "3", "subject": {"reference": "Patient/A"}},
        observation(4, category="vital-signs"),
        {"resourceType": "OperationOutcome", "id": "5"},
        observation(6),
    )
    kept = gate(body, LAB_ONLY)
    assert [one.key for one in kept] == [("Observation", "1"), ("Observation", "6")]
    assert written(kept) == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 2,
        "link": [],
        "entry": [
            {
                "fullUrl": f"{PUBLIC}/Observation/{number}",
                "resource": observation(number),
                "search": {"mode": "match"},
            }
            for number in (1, 6)
        ],
    }


@pytest.mark.spec("G36")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"resourceType":"OperationOutcome"}',
        b'{"resourceType":"Bundle","type":"batch-response"}',
        b'{"resourceType":"Patient","type":"searchset"}',
        b'{"resourceType":"Bundle","type":"searchset","entry":{}}',
        b'{"resourceType":"Bundle","type":"searchset","entry":[7]}',
        b'{"resourceType":"Bundle","type":"searchset","link":[{"url":7}]}',
    ],
)
def test_what_is_no_searchset_is_a_fault(body):
    with pytest.raises(UpstreamFault):
        gate(body)


def test_entries_that_are_no_clean_resources_are_dropped():
    text = (
        b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"resourceType":'
        b'"Observation","id":"1","subject":{"reference":"Patient/B"},"subject":{"reference":'
        b'"Patient/A"}}},{},{"resource":null},{"resource":7},{"resource":'
        + orjson.dumps(observation(2))
        + b"}]}"
    )
    assert ids(gate(text)) == ["2"]


def test_decimals_keep_their_precision():
    body = bundle(observation(1)).replace(b'"id":"1"', b'"id":"1","valueDecimal":1.500')
    (kept,) = gate(body)
    part = Part(*kept.key, kept.entry.raw)
    assert b'"valueDecimal":1.500' in searchset([part], [], REWRITER, total=None)


@pytest.mark.spec("RSVR-08")
def test_provenance_leaves_when_all_its_targets_are_the_patients():
    allowed = access("patient/*.rs", "Observation", "Provenance")

    def provenance(number: int, *targets: str) -> dict[str, Any]:
        references = [{"reference": target} for target in targets]
        return {"resourceType": "Provenance", "id": str(number), "target": references}

    body = bundle(
        provenance(10, "Observation/1"),
        provenance(11, "Observation/1", "Observation/2"),
        provenance(12, "Observation/404"),
        provenance(13, "Patient/A", f"{UPSTREAM}/Observation/1"),
        observation(1),
        observation(2, "B"),
    )
    assert ids(gate(body, allowed)) == ["10", "13", "1"]


PATIENTS = ["A", "B", "AA", "a"]
REFERENCES = st.sampled_from(
    [{"reference": f"Patient/{one}"} for one in PATIENTS]
    + [{"reference": f"{UPSTREAM}/Patient/{one}"} for one in PATIENTS]
    + [
        {"reference": "https://evil.example/Patient/A"},
        {"reference": "urn:uuid:A"},
        {"reference": "Group/A"},
        {"reference": "#A"},
        {"identifier": {"value": "A"}},
        {"display": "A"},
        {},
    ]
)
MEMBERS = ["subject", "patient", "beneficiary", "performer", "payor", "for", "source"]
TYPES = ["Observation", "Condition", "Coverage", "AllergyIntolerance", "Patient", "Group", "Task"]
RESOURCES = st.builds(
    lambda kind, number, members, category, contained: (
        {"resourceType": kind, "id": number, "category": observation(1, "A", category)["category"]}
        | members
        | ({"contained": [{"resourceType": contained, "id": "A"}]} if contained else {})
    ),
    st.sampled_from(TYPES),
    st.sampled_from(["1", "A", "B"]),
    st.dictionaries(st.sampled_from(MEMBERS), REFERENCES, max_size=4),
    st.sampled_from(["laboratory", "vital-signs"]),
    st.sampled_from([None, None, None, "Patient", "Medication"]),
)
GRANTS = st.lists(
    st.sampled_from(
        [f"patient/Observation.rs?category={LAB}", "patient/Condition.rs", "patient/Coverage.rs",
         "patient/Patient.rs", "patient/Task.rs", "user/Observation.rs", "patient/*.c"]
    ),
    unique=True,
)  # fmt: skip


def _is_expected(resource: dict[str, Any], grants: list[str]) -> bool:
    """What may leave, in words of its own: the one owning member names A, the grant fits."""
    kind = resource["resourceType"]
    owner = {
        "Observation": "subject",
        "Condition": "subject",
        "Coverage": "beneficiary",
        "AllergyIntolerance": "patient",
        "Task": "for",
    }.get(kind)
    own = [{"reference": "Patient/A"}, {"reference": f"{UPSTREAM}/Patient/A"}]
    is_own = resource["id"] == "A" if kind == "Patient" else resource.get(owner or "-") in own
    if any(one["resourceType"] == "Patient" for one in resource.get("contained", [])):
        return False
    if kind == "Observation":
        code = resource["category"][0]["coding"][0]["code"]
        return is_own and code == "laboratory" and any("laboratory" in one for one in grants)
    return is_own and f"patient/{kind}.rs" in grants


@pytest.mark.spec("G13", "G42", "GRAN-02", "SCOP-14")
@given(st.lists(RESOURCES, max_size=8), GRANTS)
def test_of_any_bundle_only_own_and_covered_entries_survive(resources, grants):
    allowed = access(" ".join(grants), *TYPES)
    kept = gate(bundle(*resources), allowed)
    entries = written(kept).get("entry", [])
    # The upstream's own base is rewritten, so compare after the same rewriting.
    expected = [
        orjson.loads(orjson.dumps(one).decode().replace(UPSTREAM, PUBLIC))
        for one in resources
        if _is_expected(one, grants)
    ]
    assert [entry["resource"] for entry in entries] == expected
    assert b"127.0.0.1:9000" not in orjson.dumps(entries)
