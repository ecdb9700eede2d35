"""The picker: whom a person may choose for an app; searched, paged, audited (STND-02, STND-05)."""

import base64
import json
import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from audit import writer
from authfi.accounts import people
from authfi.lib import tenancy
from smart import access, patient_list
from smart.models import AuthorizationRequest
from smart.server import picker_search
from smart.server.picker_search import Cursor
from tests.access.conftest import forget, hospital, sandbox, set_rules, upstream_server
from tests.cast import ADMIN, a_person, sign_in
from tests.fhir_server import Answer
from tests.server.conftest import Flow, answer_of, trail
from tests.server.picking import (
    NURSES,
    SCOPE,
    VISIT_SCOPE,
    a_flow,
    doctor,
    every_page,
    granted,
    kept,
    nurse,
    picker_of,
    refused,
    search,
    shown,
)

__all__ = ["doctor", "hospital", "nurse", "sandbox", "upstream_server"]


@pytest.mark.spec("STND-02", "STND-05", "D16", "CTXT-01")
def test_the_chosen_patient_is_the_one_in_context(nurse):
    path = picker_of(nurse)
    page = nurse.client.get(path)
    assert set(shown(page)) >= NURSES
    assert b"Growth Chart" in page.content
    nurse.choose(path, patient="790")
    body = granted(nurse, path)
    assert body["patient"] == "790"
    assert set(body["scope"].split()) == set(SCOPE.split())


@pytest.mark.spec("STND-05", "D16", "H15")
def test_care_team_shows_ones_own_patients_and_refuses_others(nurse):
    path = picker_of(nurse)
    found = {patient for page in every_page(nurse, path) for patient in page}
    assert "1001" not in found
    with tenancy.bind(nurse.tenant):
        person = access.person_of_user(nurse.person.user)
        verdicts = access.openable_sync(person, sorted(found))
    assert all(verdict.allowed for verdict in verdicts.values())
    details = refused(nurse, path, patient="1001")
    assert (details["patient"], details["rule"]) == ("1001", "care-team")
    assert kept(nurse, path).patient is None


@pytest.mark.spec("STND-05", "D16")
def test_all_lists_everybody_but_only_when_asked(doctor):
    path = picker_of(doctor)
    first = doctor.client.get(path)
    assert shown(first) == []
    assert b"Leave all of them empty" in first.content
    assert trail(doctor.tenant, "fhir.search") == []
    pages = every_page(doctor, path, name="")
    assert [len(page) for page in pages] == [20, 5]
    assert len({patient for page in pages for patient in page}) == 25
    doctor.choose(path, patient="1001")
    assert granted(doctor, path)["patient"] == "1001"


@pytest.mark.spec("STND-05", "D16")
def test_all_does_not_open_what_is_not_there(doctor):
    details = refused(doctor, picker_of(doctor), patient="99999")
    assert details["reason"] == "There is no such patient."


@pytest.mark.spec("STND-05", "D16")
def test_encounter_shows_patients_of_current_visits_and_refuses_others(hospital):
    set_rules(hospital, "encounter")
    flow = a_flow(hospital, "doctor", fhir_user="Practitioner/123")
    path = picker_of(flow)
    assert shown(flow.client.get(path)) == ["456"]  # who lies in the ward
    assert refused(flow, path, patient="789")["rule"] == "encounter"
    flow.choose(path, patient="456")
    assert granted(flow, path)["patient"] == "456"


@pytest.fixture
def listing(hospital):
    """A nurse who opens the records on her list, which is Patient/1001."""
    set_rules(hospital, "list")
    flow = a_flow(hospital, "nurse")
    with tenancy.bind(hospital):
        patient_list.add(user=flow.person.user, patient="1001", actor=ADMIN)
    return flow


@pytest.mark.spec("STND-05", "D16")
def test_list_shows_who_is_on_the_list_and_refuses_others(listing):
    path = picker_of(listing)
    assert shown(listing.client.get(path)) == ["1001"]
    assert refused(listing, path, patient="456")["rule"] == "list"
    listing.choose(path, patient="1001")
    assert granted(listing, path)["patient"] == "1001"


@pytest.mark.spec("STND-05", "D16")
def test_a_patient_taken_off_the_list_meanwhile_is_not_granted(listing, hospital):
    path = picker_of(listing)
    listing.choose(path, patient="1001")
    with tenancy.bind(hospital):
        patient_list.remove(user=listing.person.user, patient="1001", actor=ADMIN)
    forget()
    answer = answer_of(listing.client.get(path.rpartition("/")[0]))
    assert answer["error"] == "access_denied"


@pytest.mark.parametrize("patient", ["", "..", "4 5", "a" * 65, "Patient/456", "456,789"])
@pytest.mark.spec("STND-05")
def test_what_is_no_id_is_refused(nurse, patient):
    assert refused(nurse, picker_of(nurse), patient=patient)["patient"] == ""


@pytest.mark.spec("STND-05")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"name": "doe"}, {"789", "790"}),
        ({"name": "Jane Doe"}, {"790"}),
        ({"name": "doe jane"}, {"790"}),
        ({"born": "1979-07-22"}, {"789"}),
        ({"mrn": "12346"}, {"790"}),
        ({"name": "doe", "mrn": "12344"}, set()),
        ({"name": "doe,ellis"}, set()),
        ({"mrn": "|"}, set()),
        ({"name": "%"}, set()),
    ],
)
@pytest.mark.parametrize("who", ["nurse", "doctor"])
def test_by_name_birth_date_and_number(request, who, typed, expected):
    flow = request.getfixturevalue(who)
    page = search(flow, picker_of(flow), **typed)
    assert set(shown(page)) == expected
    assert (b"Nobody found" in page.content) == (not expected)


def test_a_birth_date_that_is_none_is_said_so(doctor):
    page = search(doctor, picker_of(doctor), born="22.7.1979", name="doe")
    assert shown(page) == []
    assert b"Give a date such as 1979-07-22." in page.content
    assert b'value="doe"' in page.content


@pytest.mark.spec("A1", "A3", "STND-05")
def test_each_name_shown_is_in_that_patients_trail(nurse):
    path = picker_of(nurse)
    search(nurse, path, name="doe")
    events = trail(nurse.tenant, "fhir.search")
    assert {(code, outcome) for code, outcome, _ in events} == {("fhir.search.allow", "success")}
    assert {details["patient"] for _, _, details in events} == {"789", "790"}
    for _, _, details in events:
        assert details["actor"]["id"] == str(nurse.person.user.pk)
        assert (details["rule"], details["query"]) == ("care-team", "name=doe")
    search(nurse, path, name="nobody-of-that-name")
    [nobody] = trail(nurse.tenant, "fhir.search")[len(events) :]
    assert nobody[2]["patient"] == ""
    assert nobody[2]["query"] == "name=nobody-of-that-name"


@pytest.mark.spec("A1")
def test_a_choice_is_in_the_trail(nurse):
    path = picker_of(nurse)
    nurse.choose(path, patient="789")
    [(_, _, details)] = trail(nurse.tenant, "launch.choose")
    assert (details["patient"], details["object"]) == ("789", "Patient/789")
    assert details["request"] == path.split("/")[-2]


@pytest.mark.spec("V8")
def test_no_trail_no_names(nurse, monkeypatch):
    path = picker_of(nurse)

    def refuse(rows):
        raise writer.AuditUnavailableError("disk full")

    monkeypatch.setattr(writer, "write", refuse)
    page = nurse.client.get(path)
    assert page.status_code == 503
    assert b"Doe" not in page.content


def test_choosing_again_replaces_and_asks_anew(nurse):
    path = picker_of(nurse, VISIT_SCOPE)
    nurse.choose(path, patient="789")
    visits = path.replace("/patient", "/encounter")
    nurse.choose(visits, encounter="")
    consent = nurse.client.get(path.rpartition("/")[0])["Location"]
    assert "/consent/" in consent
    nurse.choose(path, patient="790")
    found = kept(nurse, path)
    assert (found.patient, found.encounter, found.question) == ("790", None, None)


@pytest.mark.spec("AUTZ-15")
def test_who_cancels_sends_the_app_a_refusal(nurse):
    path = picker_of(nurse)
    answer = answer_of(nurse.client.post(path, {"cancel": "1"}))
    assert answer["error"] == "access_denied"
    assert answer["state"] == "s+t/a=t&e é"
    assert trail(nurse.tenant, "launch.deny")[-1][2]["reason"] == "the person chose no record"
    assert nurse.client.get(path)["Location"] == path.rpartition("/")[0]
    assert nurse.client.post(path, {"patient": "456"})["Location"] == path.rpartition("/")[0]
    assert kept(nurse, path).patient is None


@pytest.mark.spec("O7")
def test_a_stranger_sees_no_picker(nurse, hospital):
    path = picker_of(nurse)
    other = Flow(hospital)
    assert other.client.get(path)["Location"] == path.rpartition("/")[0]
    sign_in(other.client, a_person(hospital, "nurse", fhir_user="Practitioner/127"))
    assert other.client.get(path)["Location"] == path.rpartition("/")[0]
    assert other.client.post(path, {"patient": "456"})["Location"] == path.rpartition("/")[0]
    assert kept(nurse, path).patient is None


def test_an_expired_request_chooses_nobody(nurse, hospital):
    path = picker_of(nurse)
    with tenancy.bind(hospital):
        AuthorizationRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert nurse.client.post(path, {"patient": "456"})["Location"] == path.rpartition("/")[0]
    assert kept(nurse, path).patient is None
    assert answer_of(nurse.client.get(path.rpartition("/")[0]))["error"] == "access_denied"


@pytest.mark.spec("O7")
def test_a_form_from_elsewhere_is_refused(nurse):
    path = picker_of(nurse)
    nurse.client.handler.enforce_csrf_checks = True
    assert nurse.client.post(path, {"patient": "456"}).status_code == 403
    assert kept(nurse, path).patient is None


@pytest.mark.spec("AUTZ-24")
def test_the_page_tells_nobody_else(nurse):
    """Under `no-referrer` a browser sends the page's own forms with `Origin: null`: 403."""
    path = picker_of(nurse)
    response = nurse.client.get(path)
    left = nurse.client.post(path, {"cancel": "1"})
    assert response["Cache-Control"] == left["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "same-origin"
    assert left["Referrer-Policy"] == "no-referrer"
    assert response["X-Frame-Options"] == "DENY"
    assert "form-action 'self' https://app.example" in response["Content-Security-Policy"]


@pytest.mark.spec("STND-05", "G15")
def test_a_cursor_is_of_its_request_only_and_not_to_be_read(doctor):
    path = picker_of(doctor)
    page = search(doctor, path, name="")
    [cursor] = re.findall(r"page=([\w-]+)", page.context["next_url"])
    assert b"getpages" not in base64.urlsafe_b64decode(cursor + "==")
    other = picker_of(doctor)
    assert doctor.client.get(other, {"page": cursor}).status_code == 400
    assert doctor.client.get(path, {"page": cursor[:-2] + "AA"}).status_code == 400
    assert doctor.client.get(path, {"page": "x"}).status_code == 400
    forged = base64.urlsafe_b64encode(json.dumps({"path": "Patient", "query": ""}).encode())
    assert doctor.client.get(path, {"page": forged.decode()}).status_code == 400
    assert doctor.client.get(path, {"page": cursor}).status_code == 200


@pytest.mark.spec("AUTZ-16")
def test_without_pages_nobody_can_be_chosen(nurse):
    going_on = nurse.begin(prompt="none")
    assert answer_of(nurse.client.get(going_on))["error"] == "interaction_required"


def test_a_role_that_is_taken_away_closes_the_picker(nurse, hospital):
    path = picker_of(nurse)
    with tenancy.bind(hospital):
        people.change_roles(user=nurse.person.user, roles=["admin"], actor=ADMIN)
    assert nurse.client.post(path, {"patient": "456"})["Location"] == path.rpartition("/")[0]
    assert kept(nurse, path).patient is None


@pytest.mark.spec("STND-05", "V7")
def test_a_server_that_does_not_answer_shows_a_page_and_nobody(upstream_server):
    tenant, server = upstream_server
    set_rules(tenant, "all")
    flow = a_flow(tenant, "doctor")
    path = picker_of(flow)
    server.routes["Patient"] = Answer({}, 500)
    page = search(flow, path, name="doe")
    assert page.status_code == 502
    assert b"does not answer" in page.content
    assert str(server.port).encode() not in page.content


@pytest.mark.spec("O19")
def test_a_next_page_elsewhere_is_not_followed(upstream_server):
    tenant, server = upstream_server
    set_rules(tenant, "all")
    flow = a_flow(tenant, "doctor")
    bundle = dict(server.routes["Patient"].body)
    bundle["link"] = [{"relation": "next", "url": "http://127.0.0.1:1/fhir/Patient?page=2"}]
    server.routes["Patient"] = Answer(bundle)
    assert search(flow, picker_of(flow), name="doe").status_code == 502


@pytest.mark.spec("STND-05")
def test_fields_the_server_cannot_search_by_are_not_offered(upstream_server):
    tenant, server = upstream_server
    set_rules(tenant, "all")
    flow = a_flow(tenant, "doctor")
    page = search(flow, picker_of(flow), name="doe", mrn="12345")
    assert list(page.context["form"].fields) == ["name"]
    assert "identifier" not in server.asked[-1].query


def test_cursors_come_back_as_they_were(bound):
    cursor, request_id = Cursor(page=3, path="Patient", query="a=b", start=50), uuid.uuid4()
    assert picker_search.unseal(picker_search.seal(cursor, request_id), request_id) == cursor


@pytest.mark.spec("STND-02", "D16")
def test_what_somebody_chose_is_not_kept_for_who_signs_in_after_them(nurse, hospital):
    path = picker_of(nurse)
    nurse.choose(path, patient="789")
    assert kept(nurse, path).patient == "789"
    other = a_person(hospital, "doctor", fhir_user="Practitioner/123")
    sign_in(nurse.client, other)
    going_on = path.rpartition("/")[0]
    assert nurse.client.get(going_on)["Location"] == path
    assert kept(nurse, path).patient is None
