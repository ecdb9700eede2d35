"""The shipped search parameter table is complete for what it claims."""

import pytest

from smart.policy.search_parameters import MODIFIERS, definitions, find
from smart.scopes.resource_types import RESOURCE_TYPES


def test_every_type_is_listed_with_the_common_parameters():
    assert set(definitions()) == RESOURCE_TYPES
    for parameters in definitions().values():
        assert {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"} <= set(
            parameters
        )


def test_types_are_fhirs_and_targets_exist():
    for parameters in definitions().values():
        for name, definition in parameters.items():
            assert definition.type in MODIFIERS, name
            assert definition.target <= RESOURCE_TYPES | {"*"}
            assert bool(definition.target) == (definition.type == "reference"), name


@pytest.mark.parametrize(
    ("resource_type", "name", "search_type"),
    [
        ("Observation", "category", "token"),
        ("Observation", "code-value-quantity", "composite"),
        ("Observation", "value-quantity", "quantity"),
        ("Observation", "date", "date"),
        ("Patient", "birthdate", "date"),
        ("Patient", "family", "string"),
        ("Patient", "race", "token"),
        ("Patient", "ethnicity", "token"),
        ("Patient", "gender-identity", "token"),
        ("Condition", "clinical-status", "token"),
        ("Condition", "asserted-date", "date"),
        ("Encounter", "discharge-disposition", "token"),
        ("Goal", "description", "token"),
        ("CareTeam", "role", "token"),
        ("MedicationRequest", "intent", "token"),
        ("DocumentReference", "period", "date"),
        ("Provenance", "target", "reference"),
        ("RiskAssessment", "probability", "number"),
        ("Location", "near", "special"),
        ("ValueSet", "url", "uri"),
    ],
)
def test_r4_and_us_core_parameters(resource_type, name, search_type):
    definition = find(resource_type, name)
    assert definition is not None
    assert definition.type == search_type


def test_targets():
    performer = find("Observation", "performer")
    assert performer is not None
    assert performer.may_name("Practitioner")
    assert not performer.may_name("Location")
    target = find("Provenance", "target")
    assert target is not None
    assert target.may_name("Observation")
    assert find("Observation", "family") is None
    assert find("Nothing", "code") is None
