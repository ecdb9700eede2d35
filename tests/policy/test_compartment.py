"""Each row of the compartment table with an own, a foreign and a shared case."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.policy.compartment import (
    BY_TARGETS,
    CLOSED,
    READ_LIST,
    TABLE,
    contains_nobody_else,
    needed_patients,
    targets_of,
)
from smart.policy.references import bases_of
from smart.policy.search_parameters import find
from smart.scopes.resource_types import RESOURCE_TYPES

BASES = bases_of("https://auth.example/t/mercy/fhir", "http://127.0.0.1:9000/fhir")
A = {"reference": "Patient/A"}
B = {"reference": "Patient/B"}
DOCTOR = {"reference": "Practitioner/1"}
ONLY_A = frozenset({"A"})

OWNED_BY_PATH = sorted(name for name, row in TABLE.items() if row.owners)
GUARDED = [(name, path) for name, row in TABLE.items() for path in row.guards]


def resource(resource_type: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": resource_type, "id": "x1", **members}


def place(path: str, *references: object) -> dict[str, Any]:
    """Nested members so that `path` holds the references, one list entry each."""
    head, _, rest = path.partition(".")
    name = head.removesuffix("+")
    if not rest:
        return {name: list(references)}
    return {name: [place(rest, reference) for reference in references]}


def needed(
    found: dict[str, Any], known: frozenset[tuple[str, str]] = frozenset()
) -> frozenset[str] | None:
    """Whose records must be open for the resource to leave; `known` are A's."""
    return needed_patients(found, BASES, dict.fromkeys(known, ONLY_A))


def is_closed_to_a(found: dict[str, Any]) -> bool:
    """Is the resource another's, another's too, or nobody can tell whose?"""
    needs = needed(found)
    return needs is None or "B" in needs


def owned(resource_type: str, **members: Any) -> dict[str, Any]:
    return resource(resource_type, **place(TABLE[resource_type].owners[0], A), **members)


def test_every_r4_type_is_in_one_class_at_most():
    assert set(TABLE) | CLOSED | READ_LIST <= RESOURCE_TYPES
    assert not set(TABLE) & (CLOSED | READ_LIST)
    assert not CLOSED & READ_LIST


@pytest.mark.spec("G32")
def test_read_list_and_closed_types():
    assert {
        "Medication",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
    } == READ_LIST
    assert {"Group", "Person", "AuditEvent", "Schedule", "Slot"} <= CLOSED


@pytest.mark.parametrize(
    ("resource_type", "owners"),
    [
        ("Device", ("patient",)),
        ("Task", ("for",)),
        ("Coverage", ("beneficiary",)),
        ("Claim", ("patient",)),
        ("ExplanationOfBenefit", ("patient",)),
        ("CoverageEligibilityRequest", ("patient",)),
        ("CoverageEligibilityResponse", ("patient",)),
        ("Account", ("subject",)),
        ("Media", ("subject",)),
        ("Appointment", ("participant.actor",)),
        ("AppointmentResponse", ("actor",)),
        ("RelatedPerson", ("patient",)),
        ("Observation", ("subject",)),
        ("AllergyIntolerance", ("patient",)),
        ("Immunization", ("patient",)),
        ("Condition", ("subject",)),
    ],
)
def test_rows_the_checklist_names(resource_type, owners):
    assert TABLE[resource_type].owners == owners


@pytest.mark.spec("G13", "SCOP-14")
@pytest.mark.parametrize("resource_type", OWNED_BY_PATH)
def test_own_foreign_and_shared(resource_type):
    (path,) = TABLE[resource_type].owners
    assert needed(resource(resource_type, **place(path, A))) == ONLY_A
    assert needed(resource(resource_type, **place(path, B))) == frozenset({"B"})
    assert needed(resource(resource_type, **place(path, A, B))) == frozenset({"A", "B"})
    assert needed(resource(resource_type, **place(path, B, A))) == frozenset({"A", "B"})
    assert needed(resource(resource_type, **place(path, DOCTOR))) is None
    assert needed(resource(resource_type)) is None


@pytest.mark.parametrize("resource_type", OWNED_BY_PATH)
def test_a_single_reference_counts_like_a_list_of_one(resource_type):
    (path,) = TABLE[resource_type].owners
    single: dict[str, Any]
    if "." in path:
        head, leaf = path.split(".")
        single = {head: [{leaf: A}]}
    else:
        single = {path: A}
    assert needed(resource(resource_type, **single)) == ONLY_A


@pytest.mark.parametrize(("resource_type", "path"), GUARDED)
def test_guarded_paths_do_not_own_but_must_not_name_another(resource_type, path):
    assert needed(resource(resource_type, **place(path, A))) is None
    assert needed(owned(resource_type, **place(path, A))) == ONLY_A
    assert needed(owned(resource_type, **place(path, DOCTOR))) == ONLY_A
    assert is_closed_to_a(owned(resource_type, **place(path, B)))
    assert is_closed_to_a(owned(resource_type, **place(path, A, B)))


@pytest.mark.parametrize(
    ("resource_type", "members"),
    [
        ("Composition", {"section": [{"section": [{"section": [{"entry": [B]}]}]}]}),
        ("QuestionnaireResponse", {"item": [{"item": [{"answer": [{"valueReference": B}]}]}]}),
        (
            "QuestionnaireResponse",
            {"item": [{"answer": [{"item": [{"answer": [{"valueReference": B}]}]}]}]},
        ),
    ],
)
def test_guards_reach_nested_elements(resource_type, members):
    assert is_closed_to_a(owned(resource_type, **members))


@pytest.mark.spec("G13")
@pytest.mark.parametrize(
    ("resource_type", "members"),
    [
        ("Observation", {"performer": [B], "focus": [B]}),
        ("Condition", {"asserter": B, "recorder": B}),
        ("AllergyIntolerance", {"asserter": B, "recorder": B}),
        ("Coverage", {"policyHolder": B, "subscriber": B, "payor": [B]}),
        ("Claim", {"payee": {"party": B}}),
        ("ExplanationOfBenefit", {"payee": {"party": B}}),
        ("Account", {"guarantor": [{"party": B}]}),
        ("Invoice", {"recipient": B}),
        ("MedicationDispense", {"receiver": [B]}),
        ("MedicationRequest", {"requester": B}),
        ("Communication", {"sender": B, "recipient": [B]}),
        ("CareTeam", {"participant": [{"member": B}]}),
        ("CarePlan", {"author": B}),
        ("Goal", {"expressedBy": B}),
        ("DocumentReference", {"author": [B]}),
        ("Composition", {"author": [B]}),
        ("Task", {"requester": B, "owner": B}),
        ("SupplyRequest", {"requester": B}),
    ],
)
def test_authors_performers_and_payers_neither_own_nor_disown(resource_type, members):
    assert needed(owned(resource_type, **members)) == ONLY_A
    as_a = {name: _as_a(value) for name, value in members.items()}
    assert needed(resource(resource_type, **as_a)) is None


def _as_a(value: Any) -> Any:
    if value == B:
        return A
    if isinstance(value, list):
        return [_as_a(item) for item in value]
    return {name: _as_a(item) for name, item in value.items()}


def test_appointment_with_a_doctor_and_a_room_is_the_patients():
    actors = [{"actor": A}, {"actor": DOCTOR}, {"actor": {"reference": "Location/1"}}, {}]
    assert needed(resource("Appointment", participant=actors)) == ONLY_A


@pytest.mark.spec("G1", "G45")
def test_patient_is_own_by_id_and_links_are_not_honoured():
    link = [{"other": A, "type": "replaces"}]
    assert needed({"resourceType": "Patient", "id": "A"}) == ONLY_A
    assert is_closed_to_a({"resourceType": "Patient", "id": "B", "link": link})
    assert is_closed_to_a({"resourceType": "Patient"})


@pytest.mark.spec("G33")
@pytest.mark.parametrize("resource_type", sorted(BY_TARGETS))
def test_types_that_belong_by_their_targets(resource_type):
    (path,) = TABLE[resource_type].targets
    first, second = {"reference": "Observation/1"}, {"reference": "Observation/2/_history/3"}
    both = resource(resource_type, **place(path, first, second))
    one, all_known = (
        frozenset({("Observation", "1")}),
        frozenset({("Observation", "1"), ("Observation", "2")}),
    )
    assert needed(both) is None
    assert needed(both, one) is None
    assert needed(both, all_known) == ONLY_A
    assert needed(resource(resource_type, **place(path, A))) == ONLY_A
    assert needed(resource(resource_type, **place(path, A, B)), all_known) != ONLY_A
    assert needed(resource(resource_type), all_known) is None
    foreign = {"reference": "https://evil.example/fhir/Observation/1"}
    assert needed(resource(resource_type, **place(path, foreign)), all_known) is None


@pytest.mark.parametrize("resource_type", sorted((CLOSED | READ_LIST) - {"Person"}))
def test_types_without_a_row_belong_to_nobody(resource_type):
    expected: frozenset[str] | None = None if resource_type in CLOSED else frozenset()
    assert needed(resource(resource_type, subject=A, patient=A)) == expected


CONTAINED_PATIENT = {"resourceType": "Patient", "id": "A"}


@pytest.mark.spec("G12")
@pytest.mark.parametrize(
    "contained",
    [
        [CONTAINED_PATIENT],
        [{"resourceType": "Patient", "id": "p", "name": [{"family": "Other"}]}],
        [{"resourceType": "Observation", "id": "o", "subject": B}],
        [{"resourceType": "RelatedPerson", "id": "r", "patient": B}],
        [{"resourceType": "Group", "id": "g"}],
        [{"resourceType": "Person", "id": "g"}],
        [{"resourceType": "Medication", "id": "m", "contained": [CONTAINED_PATIENT]}],
        [{"resourceType": "Bundle", "id": "b"}],
        [{"id": "untyped"}],
        ["text"],
        {"resourceType": "Medication"},
    ],
)
def test_contained_resources_of_others_close_the_whole(contained):
    assert is_closed_to_a(resource("Observation", subject=A, contained=contained))
    medication = resource("Medication", contained=contained)
    assert not contains_nobody_else(medication, "A", BASES)


@pytest.mark.spec("G12")
def test_contained_resources_that_are_nobodys_or_the_patients_own_may_stay():
    contained = [
        {"resourceType": "Medication", "id": "m"},
        {"resourceType": "Practitioner", "id": "p"},
        {"resourceType": "Observation", "id": "o", "subject": A},
        {"resourceType": "Specimen", "id": "s"},
    ]
    assert needed(resource("Observation", subject=A, contained=contained)) == ONLY_A
    assert contains_nobody_else(resource("Medication", contained=contained), "A", BASES)


@pytest.mark.spec("G12")
def test_a_contained_subject_never_owns():
    local = {"reference": "#A"}
    found = resource("Observation", subject=local, contained=[CONTAINED_PATIENT])
    assert is_closed_to_a(found)
    device = [{"resourceType": "Device", "id": "A"}]
    found = resource("Observation", subject=local, contained=device)
    assert needed(found) is None
    assert is_closed_to_a(resource("Observation", subject=local))


@pytest.mark.parametrize("value", ["Patient/A", 7, [None], [[A]], {"reference": 7}, True])
def test_malformed_subjects_are_foreign(value):
    assert is_closed_to_a(resource("Observation", subject=value))


def test_search_parameters_that_name_the_owner_exist():
    for resource_type, row in TABLE.items():
        for name in row.search:
            definition = find(resource_type, name)
            assert definition is not None, (resource_type, name)
            assert name == "_id" or definition.may_name("Patient"), (resource_type, name)


REFERENCE: st.SearchStrategy[Any] = st.sampled_from(
    [
        A,
        B,
        DOCTOR,
        {},
        {"reference": "#p"},
        {"reference": "urn:uuid:1"},
        {"identifier": {}},
        7,
        None,
    ]
)
MEMBERS = st.dictionaries(
    st.sampled_from(["subject", "patient", "for", "beneficiary", "actor", "source", "target"]),
    REFERENCE | st.lists(REFERENCE, max_size=2),
)
CONTAINED = st.none() | st.lists(
    st.builds(
        lambda kind, more: {"resourceType": kind, **more},
        st.sampled_from(["Patient", "Device", "List"]),
        MEMBERS,
    ),
    max_size=2,
)


@pytest.mark.spec("G13", "G47", "RSVR-06")
@given(
    st.sampled_from(sorted(TABLE)) | st.sampled_from(sorted(READ_LIST | CLOSED)) | st.just(7),
    MEMBERS,
    CONTAINED,
)
def test_only_records_of_those_it_names_have_to_be_open(kind, members, contained):
    found = {"resourceType": kind, "id": "A", **members}
    found |= {} if contained is None else {"contained": contained}
    needs = needed(found)
    if needs is None:
        return
    assert needs <= {"A", "B"}
    assert (kind in TABLE and needs) or kind in READ_LIST
    if kind in READ_LIST:
        assert contains_nobody_else(found, "A", BASES) == (needs <= ONLY_A)


def test_only_what_belongs_by_its_targets_has_any():
    several = {"target": [A, {"reference": "Observation/1"}, {"reference": "#x"}, 7]}
    assert targets_of(resource("Provenance", **several), BASES) == {
        ("Patient", "A"),
        ("Observation", "1"),
    }
    others: list[object] = [resource("Observation", **several), {"resourceType": []}, None]
    assert [targets_of(other, BASES) for other in others] == [frozenset()] * 3
