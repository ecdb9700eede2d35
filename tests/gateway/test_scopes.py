"""Through the front door with other scopes: each letter and constraint opens its own part."""

import pytest

from authfi.lib import tenancy

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@pytest.mark.spec("SCOP-03", "SCOP-04", "SCOP-05", "SCOP-06", "SCOP-07", "G43", "RSVR-03")
@pytest.mark.parametrize(
    ("scope", "reads", "searches"),
    [
        ("patient/Encounter.r", True, False),
        ("patient/Encounter.s", False, True),
        ("patient/Encounter.rs", True, True),
        ("patient/Encounter.read", True, True),
        ("patient/Encounter.write", False, False),
        ("patient/Encounter.cud", False, False),
        ("patient/*.r", True, False),
        ("patient/Observation.rs", False, False),
        ("user/Encounter.rs", True, True),
        ("system/Encounter.rs", False, False),
        ("openid fhirUser launch/patient", False, False),
    ],
)
def test_each_letter_opens_its_own_interaction(hospital, scope, reads, searches):
    token = hospital.token(scope)
    for path, is_open in (("/Encounter/enc-789-1", reads), ("/Encounter", searches)):
        reply = hospital.ask(path, token)
        if is_open:
            assert reply.status == 200
        else:
            reply.outcome(403, "forbidden")
            challenge = reply.headers["www-authenticate"]
            assert 'error="insufficient_scope"' in challenge
            assert 'scope="patient/Encounter.' in challenge


@pytest.mark.spec("GRAN-02", "GRAN-11", "G42")
def test_a_granular_scope_finds_all_of_its_category_and_no_more(hospital, john, sandbox):
    vitals = hospital.token(f"patient/Observation.rs?category={CATEGORY}|vital-signs")
    expected = sandbox.search(
        "Observation",
        ("patient", "789"),
        ("category", f"{CATEGORY}|vital-signs"),
        ("_count", "1000"),
    ).ids()
    found = hospital.ask("/Observation", vitals)
    assert set(found.ids()) == set(expected)
    assert len(expected) > 50
    assert found.json["total"] == len(expected)
    other = hospital.ask("/Observation?category=laboratory", vitals)
    assert (other.ids(), other.json["total"]) == ([], 0)


@pytest.mark.spec("G15", "G42", "GRAN-02")
def test_pages_do_not_tell_of_records_outside_the_scope(hospital):
    """A page that hidden matches had cut short would say that they are there."""
    social = hospital.token(f"patient/Observation.rs?category={CATEGORY}|social-history")
    reply = hospital.ask("/Observation?_count=1&category=laboratory", social)
    assert (reply.json.get("entry"), reply.json["total"]) == (None, 0)
    reply = hospital.ask("/Observation?_count=1", social)
    assert (len(reply.ids()), reply.json["total"]) == (1, 1)


@pytest.mark.spec("GRAN-02")
def test_several_granular_scopes_are_a_union(hospital, sandbox):
    scopes = [
        f"patient/Observation.rs?category={CATEGORY}|{one}"
        for one in ("vital-signs", "social-history")
    ]
    found = hospital.ask("/Observation?_count=200", hospital.token(" ".join(scopes)))
    categories = {
        one["resource"]["category"][0]["coding"][0]["code"] for one in found.json["entry"]
    }
    assert categories == {"vital-signs", "social-history"}


@pytest.mark.spec("GRAN-03", "G42")
def test_a_granular_scope_reads_a_match_and_404s_the_rest(hospital, sandbox):
    vitals = hospital.token(f"patient/Observation.rs?category={CATEGORY}|vital-signs")

    def one_of(category):
        pairs = (("patient", "789"), ("category", category), ("_count", "1"))
        return sandbox.search("Observation", *pairs).ids()[0]

    assert hospital.ask(f"/{one_of('vital-signs')}", vitals).status == 200
    hospital.ask(f"/{one_of('laboratory')}", vitals).outcome(404, "not-found")


@pytest.mark.spec("RSVR-13", "IDTK-09")
def test_a_users_own_resource_is_always_read(hospital):
    token = hospital.token("openid fhirUser", fhir_user="Practitioner/123", patient=None)
    assert hospital.ask("/Practitioner/123", token).json["id"] == "123"
    hospital.ask("/Practitioner/456", token).outcome(403, "forbidden")
    without = hospital.token("openid profile", fhir_user="Practitioner/123", patient=None)
    hospital.ask("/Practitioner/123", without).outcome(403, "forbidden")


@pytest.mark.spec("SCOP-14")
def test_patient_scopes_without_a_patient_are_403(hospital):
    token = hospital.token("patient/*.rs", patient=None, fhir_user=None)
    reply = hospital.ask("/Observation", token)
    reply.outcome(403, "forbidden")
    assert hospital.event(reply).rule == "context.patient"


#: What US Core has apps search by patient (RSVR-18).
SEARCHED = (
    *("AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Device", "DiagnosticReport"),
    *("DocumentReference", "Goal", "Immunization", "MedicationRequest", "Observation"),
    *("Procedure", "Encounter", "ServiceRequest", "Coverage", "MedicationDispense"),
)


@pytest.mark.spec("RSVR-18")
def test_a_full_token_searches_every_type_by_patient(hospital, john):
    assert hospital.ask("/Patient?_id=789", john).ids() == ["Patient/789"]
    for name in SEARCHED:
        assert hospital.ask(f"/{name}?patient=789", john).status == 200, name


@pytest.mark.spec("RSVR-20", "RSVR-03", "GRNT-02")
def test_a_limited_token_searches_what_was_allowed_and_nothing_else(hospital):
    allowed = SEARCHED[::3]
    token = hospital.token(" ".join(f"patient/{name}.rs" for name in allowed))
    for name in SEARCHED:
        reply = hospital.ask(f"/{name}?patient=789", token)
        if name in allowed:
            assert reply.status == 200, name
        else:
            reply.outcome(403, "forbidden")
            assert 'error="insufficient_scope"' in reply.headers["www-authenticate"]


@pytest.mark.spec("FCTX-11")
def test_an_item_of_the_launch_context_opens_nothing(hospital):
    token, grant = hospital.grant(
        "launch launch/encounter patient/Patient.rs", encounter="enc-789-1"
    )
    with tenancy.bind(hospital.tenant):
        grant.context = {
            "fhirContext": [{"reference": "Observation/lab-1"}],
            "encounter": "enc-789-1",
        }
        grant.save()
    hospital.ask("/Observation/lab-1", token).outcome(403, "forbidden")
    hospital.ask("/Encounter/enc-789-1", token).outcome(403, "forbidden")
