"""The authorize endpoint's refusals: exact codes, exact places, never a 500 (AUTZ, ERRS, O2-O6)."""

from datetime import timedelta
from urllib.parse import quote, urlencode

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import AuditEvent
from authfi.accounts.models import Session
from authfi.lib import tenancy
from smart.models import Application, AuthorizationRequest
from smart.server import authorize_checks as checks
from tests.cast import give_code, give_password, sign_in
from tests.conftest import fresh_tenant
from tests.server.conftest import REDIRECT, Flow, an_app, answer_of, connect, trail


def expect_no_redirect(response):
    assert response.status_code == 400
    assert response["Content-Type"].startswith("text/html")
    assert "Location" not in response
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "same-origin"  # else a browser's sign-out is refused


@pytest.mark.spec("AUTZ-04", "AUTZ-05", "ERRS-01", "O3")
@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"client_id": "gro\0wth"},
        {"client_id": "x" * 5000},
        {"redirect_uri": None},
        {"redirect_uri": f"{REDIRECT}/"},
        {"redirect_uri": f"{REDIRECT}x"},
        {"redirect_uri": f"{REDIRECT}?a=b"},
        {"redirect_uri": "https://app.example:444/cb"},
        {"redirect_uri": "https://app.example:443/cb"},
        {"redirect_uri": "https://APP.example/cb"},
        {"redirect_uri": "https://app.example/%63b"},
        {"redirect_uri": "https://app.example/x/../cb"},
        {"redirect_uri": "https://app.example\\@evil.example/cb"},
        {"redirect_uri": "https://app.example@evil.example/cb"},
        {"redirect_uri": f"{REDIRECT}#x"},
        {"redirect_uri": "http://app.example/cb"},
        {"redirect_uri": "//app.example/cb"},
    ],
)
def test_without_a_proven_client_nothing_leaves(flow, changed):
    expect_no_redirect(flow.authorize(**changed))


@pytest.mark.spec("AUTZ-04")
def test_a_suspended_app_and_a_strangers_app_are_unknown(flow, mercy, lakeside):
    connect(lakeside)
    an_app(lakeside, "lake-app")
    expect_no_redirect(flow.authorize(client_id="lake-app"))
    with tenancy.bind(mercy):
        Application.objects.update(state=Application.State.SUSPENDED)
    expect_no_redirect(flow.authorize())
    assert trail(mercy, "launch.deny")[-1][1] == "denied"


@pytest.mark.spec("A1", "A2")
def test_what_names_no_app_is_kept_sealed(flow, mercy):
    claim = "jane.doe@email.com MRN12346"
    expect_no_redirect(flow.authorize(client_id=claim))
    expect_no_redirect(flow.authorize(redirect_uri="https://evil.example/"))
    with tenancy.bind(mercy):
        unknown, known = AuditEvent.objects.filter(code="launch.deny").order_by("seq")
        assert (unknown.client_id, unknown.details["claimed_client_id"]) == ("", claim)
        assert known.client_id == "growth-chart"
        assert "claimed_client_id" not in known.details


REFUSED = [
    pytest.param({"response_type": None}, "invalid_request", id="no response type"),
    pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
    pytest.param({"response_type": "id_token"}, "unsupported_response_type", id="id_token"),
    pytest.param({"response_type": "code id_token"}, "unsupported_response_type", id="hybrid"),
    pytest.param({"response_mode": "fragment"}, "invalid_request", id="fragment"),
    pytest.param({"response_mode": "form_post"}, "invalid_request", id="form_post"),
    pytest.param({"code_challenge": None}, "invalid_request", id="no challenge"),
    pytest.param({"code_challenge_method": None}, "invalid_request", id="no method"),
    pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="plain"),
    pytest.param({"code_challenge": "x" * 42}, "invalid_request", id="short challenge"),
    pytest.param({"code_challenge": "=" * 43}, "invalid_request", id="not base64url"),
    pytest.param({"aud": None}, "invalid_request", id="no aud"),
    pytest.param({"aud": "https://elsewhere.example/fhir"}, "invalid_request", id="other aud"),
    pytest.param({"aud": "http://localhost:8000/t/x/fhir"}, "invalid_request", id="other tenant"),
    pytest.param({"aud": "https://[bad"}, "invalid_request", id="broken aud"),
    pytest.param({"resource": "https://elsewhere.example"}, "invalid_target", id="resource"),
    pytest.param({"request": "x"}, "request_not_supported", id="request"),
    pytest.param({"request_uri": "https://x"}, "request_uri_not_supported", id="request_uri"),
    pytest.param({"prompt": "dance"}, "invalid_request", id="unknown prompt"),
    pytest.param({"prompt": "none login"}, "invalid_request", id="none and more"),
    pytest.param({"max_age": "-1"}, "invalid_request", id="max_age"),
    pytest.param({"nonce": "n" * 256}, "invalid_request", id="long nonce"),
    pytest.param(
        {"scope": "launch openid", "launch": "x" * 10_000}, "invalid_request", id="long launch"
    ),
    pytest.param({"nonce": "n\0"}, "invalid_request", id="NUL in nonce"),
    pytest.param({"scope": None}, "invalid_scope", id="no scope"),
    pytest.param({"scope": " "}, "invalid_scope", id="blank scope"),
    pytest.param({"scope": "openid  launch/patient"}, "invalid_scope", id="two blanks"),
    pytest.param({"scope": "patient/Condition.dus openid"}, "invalid_scope", id="malformed"),
    pytest.param({"scope": "user/*.cruds system/*.rs"}, "invalid_scope", id="nothing allowed"),
    pytest.param({"scope": "launch/patient"}, "invalid_scope", id="nothing to open"),
    pytest.param({"scope": "offline_access"}, "invalid_scope", id="offline only"),
    pytest.param({"scope": "authfi/users"}, "invalid_scope", id="management"),
    pytest.param({"launch": "x"}, "invalid_request", id="launch without scope"),
    pytest.param({"scope": "launch openid"}, "invalid_request", id="scope without launch"),
    pytest.param({"scope": "launch openid", "launch": "x"}, "invalid_request", id="bad launch"),
]


@pytest.mark.spec(
    *("AUTZ-03", "AUTZ-06", "AUTZ-08", "AUTZ-09", "AUTZ-10", "AUTZ-11", "AUTZ-12", "AUTZ-13"),
    *("AUTZ-19", "AUTZ-24", "ERRS-02", "SCOP-11", "O1", "O2", "O5", "O6", "EHRL-05"),
)
@pytest.mark.parametrize(("changed", "error"), REFUSED)
def test_the_app_is_told_why(flow, mercy, changed, error):
    answer = answer_of(flow.authorize(**changed))
    assert answer["error"] == error
    assert answer["error_description"]
    assert answer["state"] == "s+t/a=t&e é"
    assert answer["iss"] == flow.issuer
    assert "code" not in answer
    _, outcome, details = trail(mercy, "launch.deny")[-1]
    assert (outcome, details["rule"]) == ("denied", error)
    with tenancy.bind(mercy):
        assert not AuthorizationRequest.objects.exists()


@pytest.mark.spec("AUTZ-07", "O6")
def test_state_is_required(flow):
    answer = answer_of(flow.authorize(state=None))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer


@pytest.mark.spec("AUTZ-20", "O12")
@pytest.mark.parametrize("name", ["scope", "state", "aud", "foo"])
def test_a_repeated_parameter_is_refused(flow, name):
    query = urlencode([*flow.parameters(foo="1").items(), (name, "again")])
    answer = answer_of(flow.client.get(f"{flow.path}/oauth/authorize?{query}"))
    assert answer["error"] == "invalid_request"


@pytest.mark.spec("AUTZ-09", "AUTZ-20")
def test_several_resources_are_no_target(flow):
    query = urlencode([*flow.parameters().items(), *[("resource", f"{flow.issuer}/fhir")] * 2])
    answer = answer_of(flow.client.get(f"{flow.path}/oauth/authorize?{query}"))
    assert answer["error"] == "invalid_target"


@pytest.mark.spec("AUTZ-20", "ERRS-01")
@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_client_or_redirect_stays_here(flow, name):
    query = urlencode([*flow.parameters().items(), (name, "again")])
    expect_no_redirect(flow.client.get(f"{flow.path}/oauth/authorize?{query}"))


@pytest.mark.spec("AUTZ-10")
@pytest.mark.parametrize(
    "spell", [lambda b: b + "/", lambda b: b.replace("localhost", "LocalHost")]
)
def test_aud_may_differ_in_what_means_nothing(flow, spell):
    assert flow.begin(aud=spell(f"{flow.issuer}/fhir"))


@pytest.mark.spec("AUTZ-09")
def test_resource_is_a_synonym_of_aud(flow):
    assert flow.begin(aud=None, resource=f"{flow.issuer}/fhir")


@pytest.mark.spec("AUTZ-22", "GRAN-13")
def test_forty_granular_scopes_and_a_raw_bar_work(pat_flow):
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    scope = " ".join(f"patient/Observation.rs?category={system}|c{n}" for n in range(40))
    query = urlencode(pat_flow.parameters(scope=f"launch/patient {scope}")).replace("%7C", "|")
    assert len(query) > 4000
    response = pat_flow.client.get(f"{pat_flow.path}/oauth/authorize?{query}")
    answer = answer_of(pat_flow.decide(response["Location"]))
    body = pat_flow.exchange(answer["code"]).json()
    assert body["scope"] == f"launch/patient {scope}"
    assert len(body["access_token"]) < 2048


def test_other_methods_are_refused_by_name(flow):
    response = flow.client.put(f"{flow.path}/oauth/authorize", flow.parameters())
    assert response.status_code == 405
    assert response["Allow"] == "GET, POST"


@pytest.mark.spec("CORS-05", "O24")
def test_authorize_has_no_cors(flow):
    response = flow.client.get(
        f"{flow.path}/oauth/authorize?{urlencode(flow.parameters())}",
        headers={"Origin": "https://app.example"},
    )
    assert "Access-Control-Allow-Origin" not in response


@pytest.mark.spec("AUTZ-18")
def test_silence_needs_a_sign_in_and_consent(flow, pat):
    assert answer_of(silently(flow))["error"] == "login_required"
    sign_in(flow.client, pat)
    assert answer_of(silently(flow))["error"] == "consent_required"
    assert answer_of(silently(flow, max_age="0"))["error"] == "login_required"


def silently(flow, **changed):
    return flow.client.get(flow.begin(prompt="none", **changed))


@pytest.mark.spec("AUTZ-18")
def test_prompt_login_asks_again(pat_flow, pat):
    going_on = pat_flow.begin(prompt="login")
    response = pat_flow.client.get(going_on)
    assert response["Location"].startswith(f"{pat_flow.path}/login")
    sign_in(pat_flow.client, pat)
    assert "/consent/" in pat_flow.client.get(going_on)["Location"]


def asked_to_sign_in(flow, going_on):
    return str(flow.client.get(going_on)["Location"]).startswith(f"{flow.path}/login")


@pytest.mark.spec("AUTZ-18", "N13")
@pytest.mark.parametrize(
    "wanted", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}]
)
def test_a_code_alone_is_no_new_sign_in(ada_flow, dr_ada, mercy, wanted):
    going_on = ada_flow.begin(scope="openid", aud=None, **wanted)
    with tenancy.bind(mercy):
        before = [dict(row.data)["auth_time"] for row in Session.objects.all()]
    with time_machine.travel(timezone.now() + timedelta(seconds=30)):
        assert give_code(ada_flow.client, dr_ada, next_url=going_on).status_code == 302
        with tenancy.bind(mercy):
            assert [dict(row.data)["auth_time"] for row in Session.objects.all()] == before
        assert asked_to_sign_in(ada_flow, going_on)
        assert give_password(ada_flow.client, dr_ada).status_code == 302
        assert asked_to_sign_in(ada_flow, going_on), "the password alone is no sign-in either"
    with time_machine.travel(timezone.now() + timedelta(seconds=60)):
        assert give_code(ada_flow.client, dr_ada).status_code == 302
        assert "/consent/" in ada_flow.client.get(going_on)["Location"]


@pytest.mark.spec("AUTZ-18", "N13")
def test_a_password_of_before_the_request_is_no_new_sign_in(flow, dr_ada):
    give_password(flow.client, dr_ada)
    going_on = flow.begin(scope="openid", aud=None, prompt="login")
    give_code(flow.client, dr_ada)
    assert asked_to_sign_in(flow, going_on)


@pytest.mark.spec("AUTZ-18")
def test_select_account_takes_another_account(pat_flow, dr_ada, mercy):
    going_on = pat_flow.begin(scope="openid", aud=None, prompt="select_account")
    page = pat_flow.client.get(pat_flow.client.get(going_on)["Location"])
    assert page.status_code == 200
    sign_in(pat_flow.client, dr_ada)
    assert "/consent/" in pat_flow.client.get(going_on)["Location"]


@pytest.mark.spec("AUTZ-18")
def test_a_hint_at_somebody_else_asks_who_it_is(pat_flow, pat, dr_ada):
    own = pat_flow.begin(scope="openid", aud=None, login_hint=pat.email.upper())
    assert "/consent/" in pat_flow.client.get(own)["Location"]
    going_on = pat_flow.begin(scope="openid", aud=None, login_hint=dr_ada.email)
    asked = pat_flow.client.get(going_on)["Location"]
    assert dr_ada.email not in asked, "it stays out of URLs"
    assert dr_ada.email in pat_flow.client.get(asked).content.decode()
    sign_in(pat_flow.client, pat)
    assert "/consent/" in pat_flow.client.get(going_on)["Location"], "a hint is no order"


@pytest.mark.spec("AUTZ-18")
@pytest.mark.parametrize("hint", ["x" * 255, "a@example.org\r\n", "<b>"])
def test_a_hint_that_is_no_address_does_no_harm(flow, hint):
    page = flow.client.get(flow.client.get(flow.begin(login_hint=hint))["Location"])
    assert page.status_code == 200
    assert hint not in page.content.decode()


@pytest.mark.spec("V3", "N12")
def test_a_request_nobody_follows_up_ends_soon(flow, mercy):
    flow.begin()
    latest = timezone.now() + timedelta(minutes=30)
    with tenancy.bind(mercy):
        assert Session.objects.get().expires_at <= latest
        assert AuthorizationRequest.objects.get().expires_at <= latest


@pytest.mark.spec("N12")
def test_a_sign_in_in_time_makes_the_session_last(flow, dr_ada, mercy):
    flow.begin()
    sign_in(flow.client, dr_ada)
    with tenancy.bind(mercy):
        assert Session.objects.get().ends_at > timezone.now() + timedelta(hours=1)


@pytest.mark.spec("AUTZ-18", "IDTK-15")
def test_max_age_zero_asks_again(pat_flow):
    response = pat_flow.client.get(pat_flow.begin(max_age="0"))
    assert response["Location"].startswith(f"{pat_flow.path}/login")


@pytest.mark.spec("O3")
def test_a_late_answer_is_refused(pat_flow, mercy):
    going_on = pat_flow.begin()
    with tenancy.bind(mercy):
        AuthorizationRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = answer_of(pat_flow.client.get(going_on))
    assert (answer["error"], answer["state"]) == ("access_denied", "s+t/a=t&e é")


@pytest.mark.spec("O6", "STND-06")
def test_without_a_fhir_server_only_sign_in_is_served(lakeside):
    an_app(lakeside, scopes="openid fhirUser launch/patient patient/*.rs")
    flow = Flow(lakeside)
    answer = answer_of(flow.authorize())
    assert (answer["error"], answer["error_description"]) == (
        "invalid_scope",
        "this organization has no FHIR server connected",
    )
    assert flow.begin(scope="openid", aud=None)


@pytest.mark.spec("GRNT-03", "D5")
def test_the_tenant_offers_less(lakeside):
    connect(lakeside, scopes="patient/Observation.rs")
    an_app(lakeside)
    flow = Flow(lakeside)
    assert answer_of(flow.authorize(scope="patient/Patient.rs"))["error"] == "invalid_scope"
    assert flow.begin(scope="patient/Observation.rs")


@pytest.mark.spec("AUTZ-14")
def test_the_redirect_uris_own_query_is_kept(mercy, pat):
    connect(mercy)
    uri = "https://app.example/cb?code=own&x=%20y"
    an_app(mercy, redirect_uris=[uri])
    flow = Flow(mercy)
    sign_in(flow.client, pat)
    response = flow.decide(flow.begin(redirect_uri=uri))
    assert response["Location"].startswith("https://app.example/cb?code=own&x=")
    code = response["Location"].split("&code=")[1].split("&")[0]
    assert flow.exchange(code, redirect_uri=uri).status_code == 200


@pytest.mark.spec("V3")
def test_a_request_that_is_too_long_is_refused(flow):
    expect_no_redirect(flow.authorize(foo="x" * 17_000))


@pytest.fixture(scope="module")
def hostile():
    """One tenant and browser for all generated requests."""
    tenant = fresh_tenant("mercy")
    connect(tenant)
    an_app(tenant)
    return Flow(tenant)


PARAMETERS = [
    *("response_type", "client_id", "redirect_uri", "scope", "state", "aud", "code_challenge"),
    *("launch", "nonce", "code_challenge_method", "prompt", "max_age", "request", "resource"),
    "response_mode",
]
VALUES = st.text(max_size=60) | st.sampled_from(
    ["", "launch", "patient/*.rs", "\0", "%", "code", "none", "https://[", "é", "0" * 4000]
)


@pytest.mark.spec("ERRS-02")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.dictionaries(st.sampled_from(PARAMETERS), VALUES, max_size=4),
    tail=st.text(max_size=30),
)
def test_no_query_makes_a_500(hostile, changes, tail):
    query = urlencode(hostile.parameters(**changes), errors="surrogatepass") + quote(
        tail, safe="&=%+|", errors="surrogatepass"
    )
    response = hostile.client.get(f"{hostile.path}/oauth/authorize?{query}")
    assert response.status_code in (303, 400)
    if response.status_code == 303:
        assert response["Location"].startswith((REDIRECT, f"{hostile.path}/oauth/authorize/"))


@pytest.mark.spec("AUTZ-07", "ERRS-02", "V3")
def test_a_state_has_a_limit(pat_flow):
    """What is too long to be repeated is not repeated, and nothing is kept of it."""
    longest = "s" * checks.MAX_STATE
    answer = answer_of(pat_flow.decide(pat_flow.begin(state=longest)))
    assert answer["state"] == longest
    for response in (
        pat_flow.authorize(state=longest + "s"),
        pat_flow.client.post(
            f"{pat_flow.path}/oauth/authorize",
            urlencode(pat_flow.parameters(state="é" * 3_000)),
            content_type="application/x-www-form-urlencoded",
        ),
    ):
        answer = answer_of(response)
        assert answer["error"] == "invalid_request"
        assert "state" not in answer
        assert len(response["Location"]) < 500
