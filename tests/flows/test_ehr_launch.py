"""An EHR opens an app on a patient's chart; the launching person consents (EHRL, CTXT)."""

from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from authfi.accounts import people
from authfi.lib import tenancy
from smart import launch, upstream
from smart.models import Application, Grant, LaunchContext
from tests.cast import ADMIN, a_person, sign_in
from tests.server.confidential import a_confidential_app, basic, exchange
from tests.server.conftest import (
    SCOPES,
    Flow,
    an_app,
    answer_of,
    claims_of,
    connect,
    trail,
)

ASKED = "launch openid fhirUser patient/*.rs launch/encounter"


def launched(flow, handle, **changed):
    """Authorize with a launch handle and decide; the answer the app gets."""
    response = flow.authorize(scope=ASKED, launch=handle, **changed)
    if response["Location"].startswith(flow.path):
        response = flow.decide(response["Location"])
    return answer_of(response)


@pytest.mark.spec(
    "EHRL-04",
    "EHRL-07",
    "EHRL-09",
    "CTXT-01",
    "CTXT-02",
    "CTXT-03",
    "CTXT-04",
    "CTXT-05",
    "CTXT-09",
)
def test_the_charts_context_reaches_the_app(ada_flow, dr_ada, app, mercy):
    members = {
        "need_patient_banner": False,
        "intent": "review-labs",
        "smart_style_url": "https://ehr.example/style.json",
        "fhirContext": [{"reference": "ImagingStudy/im-9"}],
    }
    with tenancy.bind(mercy):
        opened = launch.open_launch(
            application=app,
            user=dr_ada.user,
            patient="456",
            encounter="e1",
            members=members,
            actor=ADMIN,
        )
    parts = urlsplit(opened.launch_url)
    query = parse_qs(parts.query)
    assert opened.launch_url.startswith("https://app.example/launch?x=1&iss=")
    assert query == {"x": ["1"], "iss": [f"{ada_flow.issuer}/fhir"], "launch": [opened.handle]}
    assert opened.expires_in == 300

    answer = launched(ada_flow, opened.handle)
    body = ada_flow.exchange(answer["code"]).json()
    assert (body["patient"], body["encounter"]) == ("456", "e1")
    assert {name: body[name] for name in members} == members
    assert body["tenant"] == str(mercy.id)
    assert body["scope"].split() == ASKED.split()


@pytest.mark.spec("EHRL-04", "D17")
def test_no_second_sign_in_and_words_for_a_clinician(ada_flow, dr_ada, app):
    handle = ada_flow.launch(dr_ada, app)
    response = ada_flow.client.get(ada_flow.begin(scope=ASKED, launch=handle))
    page = ada_flow.client.get(response["Location"])
    assert page.context["facts"]["patient"] == "Patient/456"
    assert "act for you on the record of" in page.context["words"]["heading"]


@pytest.mark.spec("D17")
def test_a_clinician_reads_the_patients_name(ada_flow, dr_ada, app, monkeypatch):
    monkeypatch.setattr(upstream, "patient_name", {"456": "Jane Example"}.get)
    handle = ada_flow.launch(dr_ada, app)
    response = ada_flow.client.get(ada_flow.begin(scope=ASKED, launch=handle))
    page = ada_flow.client.get(response["Location"])
    assert page.context["facts"]["patient"] == "Jane Example"


@pytest.mark.spec("CTXT-04")
def test_the_banner_is_asked_for_unless_the_ehr_says_otherwise(ada_flow, dr_ada, app):
    answer = launched(ada_flow, ada_flow.launch(dr_ada, app))
    assert ada_flow.exchange(answer["code"]).json()["need_patient_banner"] is True


@pytest.mark.spec("EHRL-06")
def test_a_hint_for_an_encounter_that_is_not_there_is_left_out(ada_flow, dr_ada, app):
    answer = launched(ada_flow, ada_flow.launch(dr_ada, app, encounter=None))
    body = ada_flow.exchange(answer["code"]).json()
    assert "encounter" not in body
    assert body["scope"] == "launch openid fhirUser patient/*.rs"


@pytest.mark.spec("EHRL-07", "EHRL-08")
def test_patient_scopes_need_a_patient_in_the_launch(ada_flow, dr_ada, app):
    handle = ada_flow.launch(dr_ada, app, patient=None, encounter=None)
    body = ada_flow.exchange(launched(ada_flow, handle)["code"]).json()
    assert "patient" not in body
    assert body["scope"] == "launch openid fhirUser"


@pytest.mark.spec("EHRL-03", "EHRL-05", "O23")
def test_a_launch_is_used_once(ada_flow, dr_ada, app, mercy):
    handle = ada_flow.launch(dr_ada, app)
    assert "code" in launched(ada_flow, handle)
    again = launched(ada_flow, handle)
    assert (again["error"], again["error_description"]) == (
        "invalid_request",
        "launch was used before",
    )
    assert trail(mercy, "launch.deny")[-1][2]["reason"] == "launch was used before"


@pytest.mark.spec("EHRL-03", "O23")
def test_of_two_requests_with_one_launch_one_is_answered(ada_flow, dr_ada, app, mercy):
    handle = ada_flow.launch(dr_ada, app)
    first, second = (ada_flow.begin(scope=ASKED, launch=handle) for _ in range(2))
    assert "code" in answer_of(ada_flow.decide(first))
    assert answer_of(ada_flow.decide(second))["error"] == "invalid_request"
    with tenancy.bind(mercy):
        assert Grant.objects.count() == 1


@pytest.mark.spec("EHRL-03")
def test_denial_uses_the_launch_up(ada_flow, dr_ada, app):
    handle = ada_flow.launch(dr_ada, app)
    going_on = ada_flow.begin(scope=ASKED, launch=handle)
    assert answer_of(ada_flow.decide(going_on, "deny"))["error"] == "access_denied"
    assert launched(ada_flow, handle)["error"] == "invalid_request"


@pytest.mark.spec("EHRL-05", "O23")
def test_a_launch_expires(ada_flow, dr_ada, app, mercy):
    handle = ada_flow.launch(dr_ada, app)
    with tenancy.bind(mercy):
        LaunchContext.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert launched(ada_flow, handle)["error_description"] == "launch has expired"


@pytest.mark.spec("EHRL-05", "O23")
def test_a_launch_of_another_app_is_refused(ada_flow, dr_ada, app, mercy):
    other = an_app(mercy, "other-app")
    answer = launched(ada_flow, ada_flow.launch(dr_ada, other))
    assert answer["error"] == "invalid_request"
    assert "code" not in answer


@pytest.mark.spec("EHRL-05", "O23", "DISC-28")
def test_a_launch_of_another_tenant_is_refused(ada_flow, lakeside):
    connect(lakeside)
    stranger = a_person(lakeside, "doctor", fhir_user="Practitioner/9")
    handle = Flow(lakeside).launch(stranger, an_app(lakeside))
    assert launched(ada_flow, handle)["error"] == "invalid_request"


@pytest.mark.spec("EHRL-05")
@pytest.mark.parametrize(
    "tamper", [lambda h: h[:-1] + ("A" if h[-1] != "A" else "B"), str.swapcase]
)
def test_a_tampered_launch_is_refused(ada_flow, dr_ada, app, tamper):
    answer = launched(ada_flow, tamper(ada_flow.launch(dr_ada, app)))
    assert answer["error"] == "invalid_request"


@pytest.mark.spec("AUTZ-13")
def test_launch_scope_and_parameter_go_together(ada_flow, dr_ada, app):
    handle = ada_flow.launch(dr_ada, app)
    alone = answer_of(ada_flow.authorize(scope="openid patient/*.rs", launch=handle))
    assert alone["error"] == "invalid_request"
    assert answer_of(ada_flow.authorize(scope="launch openid"))["error"] == "invalid_request"


@pytest.mark.spec("EHRL-10")
def test_only_the_one_who_launched_may_finish(flow, dr_ada, app, mercy):
    handle = flow.launch(dr_ada, app)
    sign_in(flow.client, a_person(mercy, "nurse", fhir_user="Practitioner/456"))
    answer = launched(flow, handle)
    assert answer["error"] == "access_denied"
    assert "code" not in answer
    _, outcome, details = trail(mercy, "launch.deny")[-1]
    assert (outcome, details["reason"]) == ("denied", "the app was launched by somebody else")
    assert details["actor"]["roles"] == ["nurse"]


@pytest.mark.spec("EHRL-03", "O21")
def test_the_handle_is_not_in_the_database(flow, dr_ada, app, mercy):
    handle = flow.launch(dr_ada, app)
    with tenancy.bind(mercy):
        row = LaunchContext.objects.get()
    assert len(handle) == 43
    assert handle not in str(vars(row))


@pytest.mark.spec("A1", "EHRL-01")
def test_opening_a_launch_is_audited(flow, dr_ada, app, mercy):
    flow.launch(dr_ada, app)
    [(_, outcome, details)] = trail(mercy, "launch.start")
    assert (outcome, details["on_behalf_of"]) == ("success", str(dr_ada.user.pk))
    assert "456" in details["patient"]


@pytest.mark.spec("REGI-01", "EHRL-01")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"patient": "../1"}, "patient is not a FHIR id"),
        ({"patient": None}, "an encounter needs its patient"),
        ({"encounter": "x" * 65}, "encounter is not a FHIR id"),
        ({"launch_uri": "https://evil.example/"}, "the app has no such launch URI"),
        ({"members": {"x": 1}}, "unknown launch context members: x"),
        ({"members": {"need_patient_banner": "yes"}}, "need_patient_banner is true or false"),
        ({"members": {"intent": 5}}, "intent is a short text"),
        (
            {"members": {"smart_style_url": "javascript:x"}},
            "smart_style_url is an absolute http or https URL",
        ),
    ],
)
def test_a_launch_that_makes_no_sense_is_not_opened(flow, dr_ada, app, changed, reason):
    with pytest.raises(launch.LaunchRefusedError, match=reason):
        flow.launch(dr_ada, app, **changed)


@pytest.mark.spec(
    "FCTX-01", "FCTX-02", "FCTX-03", "FCTX-04", "FCTX-05", "FCTX-06", "FCTX-07", "FCTX-08"
)
@pytest.mark.parametrize(
    "items",
    [
        "ImagingStudy/1",
        ["ImagingStudy/1"],
        [{}],
        [{"type": "Questionnaire"}],
        [{"reference": "Patient/1"}],
        [{"reference": "Encounter/1", "role": "launch"}],
        [{"reference": "https://x.example/List/1"}],
        [{"reference": "Lisst/1"}],
        [{"reference": "List/1", "role": ""}],
        [{"reference": "List/1", "role": "relative"}],
        [{"reference": "List/1", "type": ["List"]}],
        [{"reference": "List/1", "type": "list"}],
        [{"canonical": "Questionnaire/1"}],
        [{"identifier": "x"}],
        [{"reference": "List/1", "other": 1}],
    ],
)
def test_a_wrong_fhir_context_is_refused(flow, dr_ada, app, items):
    with pytest.raises(launch.LaunchRefusedError, match="fhirContext"):
        flow.launch(dr_ada, app, members={"fhirContext": items})


@pytest.mark.spec("FCTX-04", "FCTX-07", "FCTX-08", "FCTX-09")
def test_a_right_fhir_context_is_taken(flow, dr_ada, app):
    items = [
        {"reference": "Patient/1", "role": "https://roles.example/donor"},
        {"canonical": "https://forms.example/Questionnaire/a|2.1", "type": "Questionnaire"},
        {"identifier": {"value": "1"}, "type": "List", "role": "launch"},
    ]
    assert flow.launch(dr_ada, app, members={"fhirContext": items})


@pytest.mark.spec("FCTX-10", "CTXT-11", "EHRL-06")
def test_context_of_other_types_is_granted_where_the_ehr_brought_it(ada_flow, dr_ada, app, mercy):
    items = [
        {"reference": "ImagingStudy/im-9", "role": "https://roles.example/prior"},
        {"canonical": "https://forms.example/Questionnaire/a", "type": "Questionnaire"},
    ]
    brought = [
        *("launch/imagingstudy", "launch/questionnaire"),
        "launch/imagingstudy?role=https://roles.example/other",
    ]
    asked = ["launch", "openid", *brought, "launch/list"]
    with tenancy.bind(mercy):
        Application.objects.update(
            scopes="launch openid launch/imagingstudy launch/questionnaire launch/list"
        )
    handle = ada_flow.launch(dr_ada, app, members={"fhirContext": items})
    going_on = ada_flow.begin(scope=" ".join(asked), launch=handle)
    body = ada_flow.exchange(answer_of(ada_flow.decide(going_on))["code"]).json()
    assert body["scope"].split() == asked[:-1]
    assert body["fhirContext"] == items


@pytest.mark.spec("CTXT-10", "CTXT-13", "SCOP-22", "TOKN-17")
def test_context_nobody_asked_for_comes_too_and_nothing_unknown(ada_flow, dr_ada, app):
    handle = ada_flow.launch(dr_ada, app, members={"intent": "review-labs"})
    going_on = ada_flow.begin(scope="launch patient/*.rs", launch=handle)
    body = ada_flow.exchange(answer_of(ada_flow.decide(going_on))["code"]).json()
    assert (body["patient"], body["encounter"], body["intent"]) == ("456", "e1", "review-labs")
    assert set(body) == {
        *("access_token", "token_type", "expires_in", "scope", "patient", "encounter"),
        *("need_patient_banner", "smart_style_url", "intent", "tenant"),
    }


@pytest.mark.spec("EHRL-01", "REGI-01")
def test_an_app_without_launch_uris_is_not_launched(flow, dr_ada, mercy):
    plain = an_app(mercy, "plain", launch_uris=[], scopes=SCOPES)
    with pytest.raises(launch.LaunchRefusedError, match="cannot be launched"):
        flow.launch(dr_ada, plain)


@pytest.mark.spec("EHRL-10", "C1", "D17")
def test_a_patient_is_launched_on_their_own_record_in_their_own_words(pat_flow, pat, app):
    handle = pat_flow.launch(pat, app, patient="789", encounter=None)
    response = pat_flow.client.get(pat_flow.begin(scope=ASKED, launch=handle))
    page = pat_flow.client.get(response["Location"])
    assert page.context["facts"]["patient"] == "Pat Lindqvist"
    assert "your medical records" in page.context["words"]["heading"]


@pytest.mark.spec("EHRL-10", "O7")
@pytest.mark.parametrize("role", ["patient", "doctor"])
def test_a_person_who_is_a_patient_is_launched_on_nobody_elses_record(flow, mercy, app, role):
    person = a_person(mercy, role, fhir_user="Patient/789")
    with pytest.raises(launch.LaunchRefusedError, match="neither this patient nor a clinician"):
        flow.launch(person, app, patient="790")
    with tenancy.bind(mercy):
        assert not LaunchContext.objects.exists()


@pytest.mark.spec("EHRL-10")
@pytest.mark.parametrize("role", ["admin", "privacy-officer", "patient"])
@pytest.mark.parametrize("patient", ["456", None])
def test_whoever_treats_nobody_launches_nothing(flow, mercy, app, role, patient):
    person = a_person(mercy, role, fhir_user="Practitioner/77")
    with pytest.raises(launch.LaunchRefusedError, match="neither this patient nor a clinician"):
        flow.launch(person, app, patient=patient, encounter=None)


@pytest.mark.spec("EHRL-10")
@pytest.mark.parametrize(
    "changes", [{"fhir_user": "Patient/789"}, {"roles": ["admin"]}], ids=["a patient", "no role"]
)
def test_who_changed_since_the_launch_is_refused_at_sign_in(flow, dr_ada, app, mercy, changes):
    handle = flow.launch(dr_ada, app)
    with tenancy.bind(mercy):
        if "roles" in changes:
            people.change_roles(user=dr_ada.user, roles=changes["roles"], actor=ADMIN)
        else:
            dr_ada.user.fhir_user = changes["fhir_user"]
            dr_ada.user.save()
    sign_in(flow.client, dr_ada)
    answer = launched(flow, handle)
    assert answer["error"] == "access_denied"
    assert "code" not in answer
    _, outcome, details = trail(mercy, "launch.deny")[-1]
    told = "the person is neither this patient nor a clinician"
    assert (outcome, details["reason"]) == ("denied", told)
    with tenancy.bind(mercy):
        assert not Grant.objects.exists()


@pytest.mark.spec("EHRL-12", "AUTZ-02", "GRNT-09")
def test_a_clinicians_launch_delivers_everything(ada_flow, dr_ada, mercy):
    wanted = "launch openid fhirUser offline_access user/Patient.rs user/Observation.rs"
    app, secret = a_confidential_app(mercy, scopes=f"{wanted} launch/patient")
    with tenancy.bind(mercy):
        Application.objects.filter(pk=app.pk).update(launch_uris="https://app.example/launch")
        app.refresh_from_db()
    ada_flow.client_id = app.client_id
    form = ada_flow.parameters(scope=wanted, launch=ada_flow.launch(dr_ada, app))
    taken_in = Client(enforce_csrf_checks=True).post(
        f"{ada_flow.path}/oauth/authorize",
        urlencode(form),
        content_type="application/x-www-form-urlencoded",
    )
    body = exchange(
        ada_flow,
        answer_of(ada_flow.decide(taken_in["Location"]))["code"],
        basic(app.client_id, secret),
    ).json()
    assert body["scope"] == wanted
    assert set(body) == {
        *("access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"),
        *("patient", "encounter", "need_patient_banner", "smart_style_url", "tenant"),
    }
    assert claims_of(body["id_token"])["fhirUser"] == f"{ada_flow.issuer}/fhir/Practitioner/123"


@pytest.mark.spec("CTXT-12", "REFR-08")
def test_another_chart_does_not_change_what_was_granted(ada_flow, dr_ada, app, mercy):
    with tenancy.bind(mercy):
        Application.objects.update(grant_types="authorization_code refresh_token")
    scope = "launch openid offline_access patient/*.rs"
    handle = ada_flow.launch(dr_ada, app, members={"intent": "review-labs"})
    first = ada_flow.exchange(ada_flow.code(scope=scope, launch=handle)).json()
    elsewhere = ada_flow.launch(dr_ada, app, patient="789", encounter="e2")
    second = ada_flow.exchange(ada_flow.code(scope=scope, launch=elsewhere)).json()
    assert (second["patient"], second["encounter"]) == ("789", "e2")
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    again = ada_flow.post({**form, "client_id": app.client_id}).json()
    context = ("patient", "encounter", "intent", "need_patient_banner", "smart_style_url", "tenant")
    assert {name: again[name] for name in context} == {name: first[name] for name in context}
    assert claims_of(again["access_token"])["patient"] == "456"
