"""Whose record may a clinician open: every setting of D16, with a "may" and a "may not"."""

import asyncio
import time
import uuid
from types import SimpleNamespace

import pytest

from audit.models import AuditEvent
from authfi.accounts import people
from authfi.lib import outbound, tenancy
from smart import access, patient_list
from smart.models import PatientListEntry
from smart.policy.clinician_access import Verdict
from tests.access.conftest import DEMO_PATIENTS, connect, forget, person, set_rules
from tests.cast import ADMIN, a_person
from tests.fhir_server import STATEMENT, Answer

NURSES = {"456", "789", "790", "1002"}
PARAMS = {
    "CareTeam": ("participant", "patient", "status"),
    "Encounter": ("participant", "patient", "status"),
    "Patient": ("general-practitioner",),
}


def opened(tenant, who, *patients, vouched=None):
    """The verdicts, asked as a page asks."""
    with tenancy.bind(tenant):
        return access.openable_sync(who, patients or DEMO_PATIENTS, vouched=vouched)


def allowed(verdicts):
    return {patient for patient, verdict in verdicts.items() if verdict.allowed}


def is_unbounded(tenant, who):
    return asyncio.run(access.is_unbounded(tenant, who))


@pytest.mark.spec("D16", "G47")
def test_all_opens_every_record_and_asks_nobody(mercy):
    set_rules(mercy, "all")
    doctor = person(mercy, "doctor", fhir_user="Practitioner/123")
    verdicts = opened(mercy, doctor, "456", "nobody-yet")
    assert {verdict.rule for verdict in verdicts.values()} == {"all"}
    assert allowed(verdicts) == {"456", "nobody-yet"}
    assert is_unbounded(mercy, doctor)


@pytest.mark.spec("D16", "G47")
def test_care_team_opens_the_records_of_ones_own_patients_only(hospital):
    nurse = person(hospital, "nurse", fhir_user="Practitioner/456")
    verdicts = opened(hospital, nurse)
    assert allowed(verdicts) == NURSES
    assert verdicts["789"].reason == "The person is on the patient's care team."
    assert verdicts["1001"] == Verdict(
        False, "care-team", "Nothing ties the person to this patient."
    )
    assert not is_unbounded(hospital, nurse)


@pytest.mark.spec("D16")
def test_care_team_opens_the_records_of_a_general_practitioners_patients(hospital):
    doctor = person(hospital, "doctor", fhir_user="Practitioner/123")
    stranger = person(hospital, "nurse", fhir_user="Practitioner/127")
    assert {"456", "789", "790"} <= allowed(opened(hospital, doctor))
    assert allowed(opened(hospital, stranger)) == set()


@pytest.mark.spec("D16", "G47")
def test_encounter_opens_records_of_current_visits_only(hospital):
    set_rules(hospital, "encounter")
    doctor = person(hospital, "doctor", fhir_user="Practitioner/123")
    nurse = person(hospital, "nurse", fhir_user="Practitioner/456")
    assert allowed(opened(hospital, doctor)) == {"456"}
    assert allowed(opened(hospital, nurse)) == set()


@pytest.mark.spec("D16", "G47", "A1")
def test_list_opens_what_is_on_ones_own_list_only(mercy):
    set_rules(mercy, "list")
    made = a_person(mercy, "nurse", fhir_user=None, mfa=False)
    other = person(mercy, "nurse", fhir_user="Practitioner/9")
    with tenancy.bind(mercy):
        nurse = access.person_of_user(made.user)
        assert patient_list.add(user=made.user, patient="789", actor=ADMIN)
        assert not patient_list.add(user=made.user, patient="789", actor=ADMIN)
        assert patient_list.all_listed(made.user.pk) == ["789"]
        with pytest.raises(ValueError, match="not a FHIR id"):
            patient_list.add(user=made.user, patient="..", actor=ADMIN)
    assert allowed(opened(mercy, nurse)) == {"789"}
    assert allowed(opened(mercy, other)) == set()
    with tenancy.bind(mercy):
        assert patient_list.remove(user=made.user, patient="789", actor=ADMIN)
        assert not patient_list.remove(user=made.user, patient="789", actor=ADMIN)
        assert not PatientListEntry.objects.exists()
        events = AuditEvent.objects.filter(code="admin.user").order_by("seq")
        reasons = [event.details["reason"] for event in events]
    assert reasons[-2:] == ["added to the patient list", "taken off the patient list"]
    forget()
    assert allowed(opened(mercy, nurse)) == set()


@pytest.mark.spec("T1")
def test_another_tenants_list_opens_nothing(mercy, lakeside):
    for tenant in (mercy, lakeside):
        set_rules(tenant, "list")
    made = a_person(mercy, "nurse", mfa=False)
    with tenancy.bind(mercy):
        patient_list.add(user=made.user, patient="789", actor=ADMIN)
        nurse = access.person_of_user(made.user)
    assert allowed(opened(mercy, nurse)) == {"789"}
    assert allowed(opened(lakeside, nurse)) == set()


@pytest.mark.spec("D16")
def test_of_several_roles_the_widest_rule_applies(mercy):
    set_rules(mercy, "list", doctor="all", nurse="list", admin="all")
    both = person(mercy, "nurse", "doctor", fhir_user="Practitioner/1")
    nurse_and_admin = person(mercy, "nurse", "admin", fhir_user="Practitioner/2")
    assert allowed(opened(mercy, both)) == set(DEMO_PATIENTS)
    assert allowed(opened(mercy, nurse_and_admin)) == set()


@pytest.mark.spec("D16", "G53")
@pytest.mark.parametrize("role", ["admin", "privacy-officer"])
def test_who_treats_nobody_opens_nothing(mercy, role):
    set_rules(mercy, "all", **{role: "all"})
    somebody = person(mercy, role, fhir_user="Practitioner/1")
    verdicts = opened(mercy, somebody, "456", vouched="456")
    assert verdicts["456"] == Verdict(False, "none", "The person has no role that treats patients.")
    assert not is_unbounded(mercy, somebody)


@pytest.mark.spec("D16", "SCOP-15")
def test_patients_open_their_own_record_only(mercy):
    set_rules(mercy, "all")
    for roles in (("patient",), ("patient", "doctor")):
        pat = person(mercy, *roles, fhir_user=f"Patient/{len(roles)}")
        verdicts = opened(mercy, pat, "1", "2", "3", vouched="3")
        assert allowed(verdicts) == {str(len(roles))}
        assert {verdict.rule for verdict in verdicts.values()} == {"own-record"}
    assert allowed(opened(mercy, person(mercy, "patient", fhir_user=None))) == set()


@pytest.mark.spec("D16")
def test_a_launch_vouches_for_its_patient_alone(hospital):
    nurse = person(hospital, "nurse", fhir_user="Practitioner/456")
    assert allowed(opened(hospital, nurse, vouched="1001")) == {*NURSES, "1001"}
    assert not opened(hospital, nurse, "1001")["1001"].allowed


@pytest.mark.spec("D16", "G47")
def test_a_role_change_bites_within_a_second(mercy, monkeypatch):
    made = a_person(mercy, "doctor", mfa=False)
    now = time.monotonic()
    for place in ("smart.access.time", "authfi.lib.ttl.time"):
        monkeypatch.setattr(place, SimpleNamespace(monotonic=lambda: now))

    def roles():
        found = asyncio.run(access.person_of(mercy, made.user.pk))
        return found and found.roles

    assert roles() == {"doctor"}
    with tenancy.bind(mercy):
        people.change_roles(user=made.user, roles=["admin"], actor=ADMIN)
    now += 1.0
    assert roles() == {"admin"}
    with tenancy.bind(mercy):
        people.deactivate(made.user)
    now += 1.0
    assert roles() is None
    assert asyncio.run(access.person_of(mercy, uuid.uuid4())) is None


@pytest.fixture
def clinic(upstream_server):
    """Lakeside; its scripted server lists what evidence needs and knows nobody's patients."""
    tenant, server = upstream_server
    statement = {**STATEMENT, "rest": [{"mode": "server", "resource": listed(PARAMS)}]}
    server.routes["metadata"] = Answer(statement)
    for kind in PARAMS:
        server.routes[kind] = Answer(bundle())
    connect(tenant, server.base, "a-bearer")
    server.asked.clear()
    return tenant, server


def listed(params):
    return [
        {
            "type": kind,
            "interaction": [{"code": "read"}, {"code": "search-type"}],
            "searchParam": [{"name": name, "type": "reference"} for name in names],
        }
        for kind, names in {"Patient": (), **params}.items()
    ]


def bundle(*resources, following=""):
    link = [{"relation": "next", "url": following}] if following else []
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "link": link, "entry": entries}


def a_team(patient, who="Practitioner/456", **changed):
    return {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": f"Patient/{patient}"},
        "participant": [{"member": {"reference": who}}],
        **changed,
    }


@pytest.fixture
def nurse(clinic):
    return person(clinic[0], "nurse", fhir_user="Practitioner/456")


@pytest.mark.spec("D16")
def test_few_requests_for_a_whole_page(clinic, nurse):
    tenant, server = clinic
    patients = [f"p{number}" for number in range(30)]
    opened(tenant, nurse, *patients)
    assert sorted(asked.path for asked in server.asked) == ["CareTeam", "Encounter", "Patient"]
    [teams] = [asked.query for asked in server.asked if asked.path == "CareTeam"]
    assert teams["participant"] == ["Practitioner/456"]
    assert teams["patient"] == [",".join(sorted(patients))]
    assert teams["status"] == ["active"]
    opened(tenant, nurse, *patients)
    assert len(server.asked) == 3  # remembered


@pytest.mark.spec("D16")
def test_evidence_is_forgotten_after_five_seconds(clinic, nurse, monkeypatch):
    tenant, server = clinic
    server.routes["CareTeam"] = Answer(bundle(a_team("456")))
    now = 100.0
    for place in ("smart.access.time", "authfi.lib.ttl.time"):
        monkeypatch.setattr(place, SimpleNamespace(monotonic=lambda: now))
    forget()
    assert opened(tenant, nurse, "456")["456"].allowed
    server.routes["CareTeam"] = Answer(bundle())
    now += 4.9
    assert opened(tenant, nurse, "456")["456"].allowed
    now += 0.2
    assert not opened(tenant, nurse, "456")["456"].allowed


@pytest.mark.spec("D16")
def test_what_a_careless_server_adds_opens_nothing(clinic, nurse):
    """It answers with everybody's teams, whatever it was asked."""
    tenant, server = clinic
    others = a_team("1", "Practitioner/9"), a_team("2", status="inactive"), a_team("3")
    server.routes["CareTeam"] = Answer(bundle(*others))
    assert allowed(opened(tenant, nurse, "1", "2", "3", "4")) == {"3"}


@pytest.mark.spec("D16", "V7")
@pytest.mark.parametrize(
    "answer", [Answer({}, 500), Answer({}, 403), Answer(b"<html>"), Answer({"resourceType": "X"})]
)
def test_a_server_that_fails_means_no_and_is_asked_again(clinic, nurse, answer):
    tenant, server = clinic
    server.routes["CareTeam"] = answer
    verdict = opened(tenant, nurse, "456")["456"]
    assert not verdict.allowed
    assert verdict.reason.startswith("It cannot be known: CareTeam: The FHIR server")
    server.routes["CareTeam"] = Answer(bundle(a_team("456")))
    assert opened(tenant, nurse, "456")["456"].allowed


@pytest.mark.spec("D16")
def test_one_source_that_fails_does_not_undo_another(clinic, nurse):
    tenant, server = clinic
    server.routes["CareTeam"] = Answer(bundle(a_team("456")))
    server.routes["Encounter"] = Answer({}, 500)
    assert allowed(opened(tenant, nurse, "456", "789")) == {"456"}


@pytest.mark.spec("D16")
def test_a_server_that_cannot_search_so_is_not_asked(upstream_server):
    tenant, server = upstream_server
    nurse = person(tenant, "nurse", fhir_user="Practitioner/456")
    verdict = opened(tenant, nurse, "456")["456"]
    assert not verdict.allowed
    assert "does not search CareTeam by its practitioners" in verdict.reason
    assert server.asked == []


@pytest.mark.spec("D16")
def test_further_pages_are_read_until_all_is_known(clinic, nurse):
    tenant, server = clinic
    second = f"{server.base}?page=2"
    server.routes["CareTeam"] = Answer(bundle(a_team("1"), following=second))
    server.routes[""] = Answer(bundle(a_team("2")))
    assert allowed(opened(tenant, nurse, "1", "2", "3")) == {"1", "2"}
    server.routes[""] = Answer(bundle(following=second))
    forget()
    verdict = opened(tenant, nurse, "3")["3"]
    assert "too many CareTeam resources" in verdict.reason


@pytest.mark.spec("D16", "EHR-33")
def test_a_server_that_knows_itself_by_another_address_is_looked_through(clinic, nurse):
    tenant, server = clinic
    theirs = "https://fhir.hospital.internal/r4"
    first = bundle(a_team("1"), following=f"{theirs}?_getpages=2")
    own = {"relation": "self", "url": f"{theirs}/CareTeam?patient=1"}
    server.routes["CareTeam"] = Answer({**first, "link": [own, *first["link"]]})
    server.routes[""] = Answer(bundle(a_team("2")))
    assert allowed(opened(tenant, nurse, "1", "2", "3")) == {"1", "2"}


@pytest.mark.spec("D16", "O19")
def test_a_page_of_another_server_is_not_asked_for(clinic, nurse):
    tenant, server = clinic
    for url in ("http://127.0.0.1:1/fhir?x", f"{server.base}evil?x", f"{server.base}/../x", 7):
        server.routes["CareTeam"] = Answer(bundle(following=url))
        server.asked.clear()
        assert "is somewhere else" in opened(tenant, nurse, "1")["1"].reason
        assert len(server.asked) == 3


@pytest.mark.spec("D16")
def test_without_a_practitioner_nothing_ties(clinic):
    tenant, server = clinic
    nurse = person(tenant, "nurse", fhir_user=None)
    assert "not linked to a Practitioner" in opened(tenant, nurse, "456")["456"].reason
    assert server.asked == []


@pytest.mark.spec("D16")
def test_without_a_fhir_server_nothing_ties(mercy):
    nurse = person(mercy, "nurse", fhir_user="Practitioner/456")
    assert not opened(mercy, nurse, "456")["456"].allowed


def test_what_is_no_id_is_asked_nobody_about(clinic, nurse):
    tenant, server = clinic
    assert allowed(opened(tenant, nurse, "..", "1,2", "", "Patient/1")) == set()
    assert server.asked == []


@pytest.mark.spec("D16", "G47")
def test_async_code_asks_the_same(hospital):
    nurse = person(hospital, "nurse", fhir_user="Practitioner/456")

    async def ask():
        found = await access.openable(hospital, nurse, DEMO_PATIENTS)
        await outbound.close()
        return found

    assert allowed(asyncio.run(ask())) == NURSES


@pytest.mark.spec("D16", "STND-05")
def test_a_panel_is_whom_the_rule_leads_to(hospital):
    nurse = person(hospital, "nurse", fhir_user="Practitioner/456")

    def panel():
        with tenancy.bind(hospital):
            return outbound.run(access.panel(hospital, nurse))

    found = panel()
    assert found.unknown == ()
    assert set(found.patients) >= NURSES
    assert "1001" not in found.patients
    assert allowed(opened(hospital, nurse, *found.patients)) == set(found.patients)
    set_rules(hospital, "all")
    assert panel().patients == ()
