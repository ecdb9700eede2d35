"""`user/` scopes open what the person may open by the rule of D16 (G47, SCOP-15, RSVR-12)."""

import pytest

from tests.gateway.conftest import colleague
from tests.gateway.two_records import CATEGORY, HIDDEN

NORA, DOV, LOCUM = "Practitioner/nora", "Practitioner/dov", "Practitioner/locum"


@pytest.fixture
def nurse(hands):
    """Nora is on Ann's care team and not on Bob's: nothing of his may show."""
    base = colleague(hands, "nurse", NORA)
    base.hidden += HIDDEN
    return base


@pytest.fixture
def doctor(hands):
    """Doctors open every record."""
    return colleague(hands, "doctor", DOV)


@pytest.fixture
def clerk(hands):
    """Without a clinical role there is no record to open."""
    base = colleague(hands, "privacy-officer", "Practitioner/clerk")
    base.hidden += HIDDEN
    return base


def token_of(base, scope="user/*.rs", patient=None, fhir_user=NORA):
    return base.token(scope, patient=patient, fhir_user=fhir_user)


READABLE = [
    "/Patient/ann",
    "/Observation/lab-ann",
    "/Encounter/enc-ann",
    "/Flag/moved-in",
    "/Flag/moved-in/_history/2",
    "/Flag/lent/_history/1",
]
FOREIGN = [
    "/Patient/bob",
    "/Observation/obs-bob",
    "/Encounter/enc-bob",
    "/Flag/lent",
    "/Flag/moved-in/_history/1",
    "/Flag/gone-bob",
]
NOBODYS = ["/Practitioner/dov", "/Practitioner?_id=nora,dov", "/Practitioner?name=Dahl"]


@pytest.mark.spec("G47", "SCOP-15", "G28")
@pytest.mark.parametrize("path", READABLE)
def test_a_nurse_reads_the_records_of_her_teams(nurse, path):
    reply = nurse.ask(path, token_of(nurse))
    assert reply.status == 200
    told = {one.details["patient"] for one in nurse.events(reply)}
    assert told == {"ann"}, "the event stands in the record that was opened (A3)"


@pytest.mark.spec("G47", "SCOP-15", "G28", "G29")
@pytest.mark.parametrize("path", FOREIGN)
def test_other_records_are_as_if_they_were_not_there(nurse, path):
    token = token_of(nurse)
    reply, absent = nurse.ask(path, token), nurse.ask("/Patient/nobody", token)
    assert reply.outcome(404, "not-found") == absent.outcome(404, "not-found")
    assert {name for name, _ in reply.raw_headers} == {name for name, _ in absent.raw_headers}
    assert nurse.event(reply).outcome == "denied"


@pytest.mark.spec("G47", "G53")
@pytest.mark.parametrize("path", [*READABLE, *FOREIGN])
def test_who_has_no_clinical_role_opens_no_record(clerk, path):
    clerk.ask(path, token_of(clerk)).outcome(404, "not-found")
    clerk.ask(path, token_of(clerk, patient="ann")).outcome(404, "not-found")


@pytest.mark.spec("SCOP-15", "D16")
@pytest.mark.parametrize("path", [*READABLE, *FOREIGN[:-1], *NOBODYS])
def test_a_doctor_reads_every_record(doctor, path):
    reply = doctor.ask(path, token_of(doctor, fhir_user=DOV))
    assert reply.status == 200


@pytest.mark.spec("SCOP-15", "RSVR-19")
@pytest.mark.parametrize("path", NOBODYS)
def test_what_is_nobodys_is_read_and_searched(nurse, path):
    assert nurse.ask(path, token_of(nurse)).status == 200
    nurse.ask(path, token_of(nurse, "user/Patient.rs")).outcome(403, "forbidden")
    by_patient = token_of(nurse, "patient/*.rs", patient="ann")
    assert nurse.ask(path, by_patient).status == (403 if "?" in path else 200)


@pytest.mark.spec("G47", "G2", "RSVR-06")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Observation?patient=ann", ["lab-ann", "vital-ann"]),
        ("Observation?patient=ann,bob", ["lab-ann", "vital-ann"]),
        ("Observation?subject=Patient/bob,Patient/ann", ["lab-ann", "vital-ann"]),
        ("Observation?patient=bob", []),
        ("Observation?patient=nobody", []),
        ("Observation?patient=ann&patient=bob", []),
        ("Patient/ann/Observation?code=718-7", ["lab-ann", "vital-ann"]),
        ("Patient/bob/Observation", []),
        ("Patient?_id=ann", ["ann"]),
        ("Patient?_id=bob", []),
        ("Patient?_id=ann,bob", ["ann"]),
        ("Patient?name=Secret", []),
        ("Patient?name=Lind", ["ann"]),
        ("Patient", ["ann"]),
        ("Patient?gender=male", []),
    ],
)
def test_a_nurses_search_finds_her_patients_only(nurse, query, found):
    reply = nurse.ask(f"/{query}", token_of(nurse))
    assert [one.partition("/")[2] for one in reply.ids()] == found
    assert reply.json["total"] == len(found)
    counted = nurse.ask(f"/{query}{'&' if '?' in query else '?'}_summary=count", token_of(nurse))
    assert counted.json["total"] == len(found)


@pytest.mark.spec("G47", "G15")
@pytest.mark.parametrize("query", ["patient=bob", "patient=nobody", "subject=Patient/bob"])
def test_nothing_is_asked_for_who_cannot_be_opened(nurse, query):
    """So that time tells nothing either."""
    reply = nurse.ask(f"/Observation?{query}", token_of(nurse))
    assert reply.json == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
        "link": reply.json["link"],
    }
    assert [one["url"].partition("?")[2] for one in reply.json["link"]] == ["_count=200"]


@pytest.mark.spec("G47", "G1", "G3")
@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("Observation", "user.search"),
        ("Observation?code=718-7", "user.search"),
        ("Observation?subject=Group/1", "user.search"),
        ("Observation?patient:not=ann", "search.patient"),
        ("Observation?patient:missing=true", "search.patient"),
        ("Observation?patient:identifier=x", "search.patient"),
        ("Observation?patient=https://evil.example/Patient/ann", "search.patient"),
        ("Observation?patient.name=Lind", "search.chain"),
        ("Patient?_has:Observation:patient:code=1", "search.chain"),
        ("Group?_id=1", "compartment.search"),
        ("Binary?_id=1", "compartment.search"),
    ],
)
def test_a_search_names_its_patients_one_by_one(nurse, query, rule):
    reply = nurse.ask(f"/{query}", token_of(nurse))
    reply.outcome(403, "forbidden")
    assert nurse.event(reply).rule == rule


@pytest.mark.spec("SCOP-15", "G3", "G47")
def test_a_doctors_search_needs_no_patient_but_crosses_no_reference(doctor):
    token = token_of(doctor, fhir_user=DOV)
    reply = doctor.ask("/Observation?code=718-7", token)
    assert set(reply.ids()) == {f"Observation/{one}" for one in ("lab-ann", "vital-ann", "obs-bob")}
    assert {one.details["patient"] for one in doctor.events(reply)} == {"ann", "bob"}
    assert doctor.ask("/Observation?patient=bob", token).ids() == ["Observation/obs-bob"]
    doctor.ask("/Observation?patient.name=Lind", token).outcome(403, "forbidden")
    doctor.ask("/Observation?_include=Observation:encounter", token)


@pytest.mark.spec("G15", "G47", "G52")
def test_a_filtered_search_is_cut_by_the_gateway_itself(nurse):
    """A page that hidden patients had cut short would say that they are there."""
    reply = nurse.ask("/Patient?_count=1&_sort=-gender", token_of(nurse))
    assert (reply.ids(), reply.json["total"]) == (["Patient/ann"], 1)
    assert [one["relation"] for one in reply.json["link"]] == ["self"]


@pytest.mark.spec("G4", "G47")
def test_includes_are_in_reach_as_well(nurse, doctor):
    path = "/Observation?patient=ann&_include=Observation:encounter&_revinclude=Provenance:target"

    def included(base, token):
        return sorted(
            one["resource"]["id"]
            for one in base.ask(path, token).json["entry"]
            if one["search"]["mode"] == "include"
        )

    assert included(nurse, token_of(nurse)) == ["enc-ann", "prov-ann", "prov-two"]
    assert included(doctor, token_of(doctor, fhir_user=DOV)) == [
        "enc-ann",
        "enc-bob",
        "prov-ann",
        "prov-both",
        "prov-two",
    ]


@pytest.mark.spec("SCOP-15", "G47")
def test_a_patient_user_opens_their_own_record(hands):
    token = hands.token("user/*.rs", patient=None, fhir_user="Patient/789")
    for path in ("/Patient/ann", "/Observation/lab-ann"):
        hands.ask(path, token).outcome(404, "not-found")
    reply = hands.ask("/Observation", token)
    assert reply.ids() == []
    assert "patient=789" in reply.json["link"][0]["url"]


# Two levels ---------------------------------------------------------------------------------------


@pytest.mark.spec("G42", "SCOP-14", "SCOP-15")
def test_each_level_is_judged_by_itself(doctor):
    """Scopes of one level never widen the other: no cross product."""
    lab, vital = (f"{CATEGORY}|{one}" for one in ("laboratory", "vital-signs"))
    token = token_of(
        doctor,
        f"patient/Observation.rs?category={vital} user/Observation.rs?category={lab}",
        patient="ann",
        fhir_user=DOV,
    )
    assert doctor.ask("/Observation/vital-ann", token).status == 200
    assert doctor.ask("/Observation/obs-bob", token).status == 200
    found = doctor.ask("/Observation?code=718-7", token).ids()
    assert set(found) == {f"Observation/{one}" for one in ("lab-ann", "vital-ann", "obs-bob")}
    other = token_of(
        doctor,
        f"patient/Observation.rs?category={lab} user/Observation.rs?category={vital}",
        patient="ann",
        fhir_user=DOV,
    )
    doctor.ask("/Observation/obs-bob", other).outcome(404, "not-found")
    assert doctor.ask("/Observation?patient=bob", other).ids() == []


@pytest.mark.spec("SCOP-14", "G47")
def test_a_letter_counts_at_its_own_level(nurse):
    token = token_of(nurse, "patient/Observation.r user/Observation.s", patient="ann")
    assert nurse.ask("/Observation/lab-ann", token).status == 200
    assert len(nurse.ask("/Observation?patient=ann", token).ids()) == 2
    nurse.ask("/Observation?code=718-7", token).outcome(403, "forbidden")
    nurse.ask("/Patient/ann", token).outcome(403, "forbidden")


@pytest.mark.spec("G47", "RSVR-06")
def test_without_a_name_the_patient_in_context_is_meant(nurse):
    token = token_of(nurse, "patient/*.rs user/*.rs", patient="ann")
    reply = nurse.ask("/Observation", token)
    assert reply.ids() == ["Observation/lab-ann", "Observation/vital-ann"]
    assert "patient=ann" in reply.json["link"][0]["url"]


@pytest.mark.spec("D16", "G47")
def test_an_ehr_launch_vouches_for_its_patient_only(hands):
    base = colleague(hands, "nurse", LOCUM)
    base.hidden += HIDDEN
    picked = token_of(base, patient="ann", fhir_user=LOCUM)
    base.ask("/Observation/lab-ann", picked).outcome(404, "not-found")
    launched = base.token("user/*.rs", patient="ann", fhir_user=LOCUM, is_launched=True)
    assert base.ask("/Observation/lab-ann", launched).status == 200
    alone = token_of(base, fhir_user=LOCUM)
    base.ask("/Observation/lab-ann", alone).outcome(404, "not-found")
    base.ask("/Observation/obs-bob", launched).outcome(404, "not-found")


@pytest.mark.spec("G47", "G34")
def test_a_page_is_decided_on_anew(doctor, hands):
    token = token_of(doctor, fhir_user=DOV)
    reply = doctor.ask("/Observation?_count=1", token)
    (_, onward) = reply.json["link"]
    query = "?" + onward["url"].partition("?")[2]
    assert len(doctor.ask(query, token).ids()) == 1
    nurse = colleague(hands, "nurse", NORA)
    nurse.ask(query, token_of(nurse)).outcome(404, "not-found")


@pytest.mark.spec("G47")
def test_a_token_of_nobody_opens_nothing_by_user_scopes(hands):
    token = hands.token("user/*.rs", patient=None, fhir_user=None, grant_id=None)
    reply = hands.ask("/Observation/lab-ann", token)
    reply.outcome(403, "forbidden")
    assert hands.event(reply).rule == "context.user"
