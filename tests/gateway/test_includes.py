"""Includes bring what the token could have read and searched for, and nothing of others (G4)."""

import pytest

from tests.gateway.two_records import CATEGORY

PROV = "Provenance/prov-ann"
TWO = "Provenance/prov-two"
ANN = {"patient": "ann", "fhir_user": "Patient/ann"}


@pytest.fixture
def ann(hands):
    return hands.token("patient/*.rs", **ANN)


def entries(reply, mode="include"):
    assert reply.status == 200, reply.body
    return sorted(
        f"{one['resource']['resourceType']}/{one['resource']['id']}"
        for one in reply.json.get("entry", [])
        if one["search"]["mode"] == mode
    )


def notes(reply):
    return [
        one["resource"]["issue"][0]["diagnostics"]
        for one in reply.json.get("entry", [])
        if one["search"]["mode"] == "outcome"
    ]


@pytest.mark.spec("G4", "G12", "RSVR-08")
@pytest.mark.parametrize(
    ("query", "brought"),
    [
        ("Observation?_include=Observation:encounter", ["Encounter/enc-ann"]),
        ("Observation?_include=Observation:encounter:Encounter", ["Encounter/enc-ann"]),
        ("Observation?_include=Observation:subject", ["Patient/ann"]),
        ("Observation?_include=Observation:performer", ["Practitioner/nora"]),
        ("Observation?_revinclude=Provenance:target", [PROV, TWO]),
        ("Observation?_revinclude=Observation:focus", []),
        ("Patient?_revinclude=Observation:focus", []),
        ("Patient?_revinclude=Encounter:subject", ["Encounter/enc-ann"]),
        (
            "Observation?_include=Observation:encounter&_revinclude=Provenance:target",
            ["Encounter/enc-ann", PROV, TWO],
        ),
    ],
)
def test_only_the_patients_own_is_brought(hands, ann, query, brought):
    reply = hands.ask(f"/{query}", ann)
    assert entries(reply) == brought
    matched = len(entries(reply, "match"))
    assert (matched, reply.json["total"]) == ((2, 2) if query.startswith("Obs") else (1, 1))
    assert notes(reply) == []


@pytest.mark.spec("G4")
@pytest.mark.parametrize(
    "query",
    [
        "_include=*",
        "_include=Observation:*",
        "_include:iterate=Observation:encounter",
        "_revinclude=*",
        "_revinclude=Provenance:*",
        "_revinclude:iterate=Provenance:target",
    ],
)
def test_what_reaches_further_than_can_be_judged_is_403(hands, ann, query):
    reply = hands.ask(f"/Observation?{query}", ann)
    reply.outcome(403, "forbidden")
    assert hands.event(reply).rule == "include.unbounded"


@pytest.mark.spec("G4", "G6")
@pytest.mark.parametrize(
    "query",
    [
        "_include=Observation:code",
        "_include=Observation:frobnicate",
        "_include=Starship:crew",
        "_include=Observation",
        "_include=Observation:encounter:Starship",
        "_include=Observation:encounter:Patient",
        "_include=Encounter:subject",
        "_include=Observation:encounter,Observation:subject",
        "_include:recurse=Observation:encounter",
        "_revinclude=Encounter:diagnosis",
        "_revinclude=Provenance:target:Patient",
        "_revinclude=Observation:encounter",
    ],
)
def test_includes_that_do_not_fit_are_400(hands, ann, query):
    assert hands.ask(f"/Observation?{query}", ann).status == 400


@pytest.mark.spec("G4", "RSVR-08")
@pytest.mark.parametrize(
    ("scope", "brought", "is_told"),
    [
        ("patient/Observation.rs patient/Provenance.rs", [PROV, TWO], False),
        ("patient/Observation.rs patient/Provenance.r patient/Provenance.s", [PROV, TWO], False),
        ("patient/Observation.rs", [], True),
        ("patient/Observation.rs patient/Provenance.r", [], True),
        ("patient/Observation.rs patient/Provenance.s", [], True),
    ],
)  # fmt: skip
def test_an_included_type_is_granted_for_reading_and_searching(hands, scope, brought, is_told):
    """What is not granted is not brought, and the answer says so: it is no error (RSVR-08)."""
    reply = hands.ask("/Observation?_revinclude=Provenance:target", hands.token(scope, **ANN))
    assert entries(reply) == brought
    assert len(entries(reply, "match")) == 2
    told = ["_revinclude=Provenance:target is not in the granted scopes."] if is_told else []
    assert notes(reply) == told


@pytest.mark.spec("RSVR-08", "G33")
@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("prov-ann", 200),
        ("prov-two", 200),
        ("prov-bob", 404),
        ("prov-both", 404),
        ("prov-old", 404),
    ],
)
def test_a_provenance_is_read_where_all_its_targets_are_the_patients(hands, ann, number, status):
    """Whether or not the targets are in the same answer: they are looked up."""
    assert hands.ask(f"/Provenance/{number}", ann).status == status


@pytest.mark.spec("G42", "GRAN-12")
def test_included_resources_meet_the_granular_scopes_of_their_type(hands):
    scope = f"patient/Encounter.rs patient/Observation.rs?category={CATEGORY}|laboratory"
    path = "/Encounter?_revinclude=Observation:encounter"
    assert entries(hands.ask(path, hands.token(scope, **ANN))) == ["Observation/lab-ann"]
    vitals = scope.replace("laboratory", "vital-signs")
    assert entries(hands.ask(path, hands.token(vitals, **ANN))) == []


@pytest.mark.spec("G4")
def test_includes_are_let_through_where_the_server_behind_lists_them_only(clinic):
    token = clinic.token(patient="456")
    reply = clinic.ask("/Patient?_revinclude=Observation:subject", token)
    assert "does not offer _revinclude=Observation:subject" in reply.outcome(400, "not-supported")


@pytest.mark.spec("G48", "RSVR-21")
def test_the_statement_lists_what_works(hands, ann):
    rest = hands.ask("/metadata").json["rest"][0]
    listed = {one["type"]: one for one in rest["resource"]}
    observation = listed["Observation"]
    codes = {one["code"] for one in observation["interaction"]}
    assert codes >= {"read", "vread", "history-instance", "search-type"}
    assert {"Observation:encounter", "Observation:subject"} <= set(observation["searchInclude"])
    assert "Provenance:target" in observation["searchRevInclude"]
    for one in observation["searchInclude"]:
        assert hands.ask(f"/Observation?_include={one}", ann).status == 200
    for one in observation["searchRevInclude"]:
        assert hands.ask(f"/Observation?_revinclude={one}", ann).status == 200
    assert "Group" not in listed
