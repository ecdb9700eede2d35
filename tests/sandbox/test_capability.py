"""The CapabilityStatement claims what the server does, and nothing more."""

from typing import Any

import pytest

from smart.sandbox.capability import capability_statement
from smart.sandbox.outcome import Resource
from smart.sandbox.parameters import PARAMETERS

VALUES = {"token": "x", "string": "x", "date": "2024", "reference": "Patient/1", "uri": "urn:x"}


@pytest.fixture(scope="module")
def statement(sandbox):
    reply = sandbox.call("GET", "/metadata")
    assert reply.status == 200
    return reply.json


def described(statement: Resource, resource_type: str) -> Any:
    return next(r for r in statement["rest"][0]["resource"] if r["type"] == resource_type)


def test_the_statement_is_about_this_server(statement, sandbox):
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["kind"] == "instance"
    assert statement["implementation"]["url"] == sandbox.base
    assert statement == capability_statement(sandbox.base)
    assert "xml" not in " ".join(statement["format"])


def test_every_interaction_is_named(statement):
    patient = described(statement, "Patient")
    assert {i["code"] for i in patient["interaction"]} == {
        "read",
        "vread",
        "update",
        "delete",
        "history-instance",
        "create",
        "search-type",
    }
    assert patient["updateCreate"] is True


@pytest.mark.parametrize("resource_type", sorted(PARAMETERS))
def test_every_claimed_search_parameter_works(statement, sandbox, resource_type):
    claims = described(statement, resource_type)["searchParam"]
    assert len(claims) > 5
    pairs = [(claim["name"], VALUES[claim["type"]]) for claim in claims]
    reply = sandbox.search(resource_type, *pairs, Prefer="handling=strict")
    assert reply.status == 200
    assert reply.json["total"] == 0


@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "Medication"])
def test_every_claimed_inclusion_works(statement, sandbox, resource_type):
    claims = described(statement, resource_type)
    pairs = [("_include", name) for name in claims.get("searchInclude", [])]
    pairs += [("_revinclude", name) for name in claims["searchRevInclude"]]
    assert pairs
    reply = sandbox.search(resource_type, ("_id", "nothing"), *pairs)
    assert (reply.status, reply.json["total"]) == (200, 0)


def test_types_without_own_parameters_claim_the_common_ones(statement):
    names = [claim["name"] for claim in described(statement, "Task")["searchParam"]]
    assert names == ["_id", "_lastUpdated", "_profile", "_tag", "_security"]
