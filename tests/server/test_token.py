"""The token endpoint: exchange, refusals, replay, races; JSON always (TOKN, CAUT, BKND, O1-O12)."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import quote, urlencode

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.models import AuditEvent
from audit.record import AuditUnavailableError
from authfi.lib import tenancy
from smart import tokens
from smart.models import Application, AuthorizationCode, Grant
from smart.server import access_token, client_auth
from smart.server.endpoint import OAuthRequest
from smart.server.token import token
from tests.conftest import fresh_tenant
from tests.server.conftest import (
    ORIGIN,
    REDIRECT,
    Flow,
    an_app,
    claims_of,
    connect,
    refused,
    trail,
)

# Refusals of a code


@pytest.mark.spec(
    *("TOKN-02", "TOKN-04", "TOKN-05", "TOKN-06", "TOKN-07", "TOKN-24", "ERRS-03", "CACH-01"),
    *("O1", "O2", "O4", "CAUT-07", "AUTZ-17"),
)
@pytest.mark.parametrize(
    ("changed", "error", "status"),
    [
        ({"grant_type": None}, "invalid_request", 400),
        ({"grant_type": "password"}, "unsupported_grant_type", 400),
        ({"grant_type": "refresh_token"}, "invalid_request", 400),
        ({"grant_type": "openid"}, "unsupported_grant_type", 400),
        ({"grant_type": "not_a_grant_type"}, "unsupported_grant_type", 400),
        ({"grant_type": "client_credentials"}, "unauthorized_client", 400),
        ({"code": None}, "invalid_request", 400),
        ({"redirect_uri": None}, "invalid_request", 400),
        ({"redirect_uri": f"{REDIRECT}/other"}, "invalid_grant", 400),
        ({"code": "BAD_CODE"}, "invalid_grant", 400),
        ({"code": "\0\ud7ff"}, "invalid_grant", 400),
        ({"code_verifier": None}, "invalid_grant", 400),
        ({"code_verifier": ""}, "invalid_grant", 400),
        ({"code_verifier": "v" * 43}, "invalid_grant", 400),
        ({"code_verifier": "v" * 129}, "invalid_grant", 400),
        ({"code_verifier": "é" * 43}, "invalid_grant", 400),
        ({"client_id": None}, "invalid_client", 401),
        ({"client_id": "BAD_CLIENT_ID"}, "invalid_client", 401),
        ({"client_id": "\0"}, "invalid_client", 401),
        ({"client_secret": "x"}, "invalid_client", 401),
        ({"client_assertion": "x"}, "invalid_client", 401),
    ],
)
def test_a_code_is_refused(pat_flow, mercy, changed, error, status):
    code = pat_flow.code()
    response = pat_flow.exchange(changed.pop("code", code), **changed)
    refused(response, error, status)
    assert "WWW-Authenticate" not in response
    _, outcome, details = trail(mercy, "token.deny")[-1]
    assert (outcome, details["rule"]) == ("denied", error)
    assert pat_flow.exchange(code).status_code == 200, "a failed attempt does not burn the code"


@pytest.mark.spec("TOKN-05", "O2")
def test_the_challenge_is_no_verifier(pat_flow):
    challenge = pat_flow.parameters()["code_challenge"]
    refused(pat_flow.exchange(pat_flow.code(), code_verifier=challenge), "invalid_grant")


@pytest.mark.spec("AUTZ-16", "O4")
def test_a_code_expires(pat_flow, mercy):
    code = pat_flow.code()
    with tenancy.bind(mercy):
        row = AuthorizationCode.objects.get()
        assert timedelta(seconds=30) < row.expires - timezone.now() <= timedelta(seconds=60)
        AuthorizationCode.objects.update(expires=timezone.now())
    assert refused(pat_flow.exchange(code), "invalid_grant") == "the code has expired"


@pytest.mark.spec("TOKN-08", "O4")
def test_a_second_use_ends_the_grant(pat_flow, mercy):
    code = pat_flow.code()
    raw = pat_flow.exchange(code).json()["access_token"]
    audience = f"{pat_flow.issuer}/fhir"
    assert tokens.authenticate(raw, tenant=mercy, audience=audience)
    refused(pat_flow.exchange(code), "invalid_grant")
    with pytest.raises(tokens.InvalidTokenError, match="ended"):
        tokens.authenticate(raw, tenant=mercy, audience=audience)
    refused(pat_flow.exchange(code), "invalid_grant")
    [(_, _, ended)] = trail(mercy, "token.revoke")
    assert ended["reason"] == "code_reused"


@pytest.mark.spec("TOKN-09", "AUTZ-17")
def test_a_code_of_another_app_or_tenant_is_refused(pat_flow, mercy, lakeside):
    an_app(mercy, "other-app")
    connect(lakeside)
    an_app(lakeside)
    code = pat_flow.code()
    refused(pat_flow.exchange(code, client_id="other-app"), "invalid_grant")
    refused(Flow(lakeside, verifier=pat_flow.verifier).exchange(code), "invalid_grant")
    assert pat_flow.exchange(code).status_code == 200


@pytest.mark.spec("TOKN-08", "O4")
def test_of_fifty_at_once_one_wins(pat_flow, mercy):
    code = pat_flow.code()
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": pat_flow.verifier,
        "client_id": "growth-chart",
    }

    def exchange(_):
        try:
            with tenancy.bind(mercy):
                return token(OAuthRequest(tenant=mercy, form=form))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(exchange, range(50)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 49
    assert {a.body["error"] for a in answers if a.status == 400} == {"invalid_grant"}
    with tenancy.bind(mercy):
        assert Grant.objects.get().ended_reason == "code_reused"


@pytest.mark.spec("D3", "AUTZ-17")
def test_a_deactivated_person_gets_no_token(pat_flow, pat, mercy):
    code = pat_flow.code()
    with tenancy.bind(mercy):
        pat.user.is_active = False
        pat.user.save()
    refused(pat_flow.exchange(code), "invalid_grant")


@pytest.mark.spec("AUTZ-04", "D3")
def test_a_suspended_app_gets_no_token(pat_flow, mercy):
    code = pat_flow.code()
    with tenancy.bind(mercy):
        Application.objects.update(state=Application.State.SUSPENDED)
    refused(pat_flow.exchange(code), "invalid_client", 401)


@pytest.mark.spec("D3", "REGI-12")
def test_an_app_that_was_in_memory_is_known_by_its_last_state(pat_flow, mercy, monkeypatch):
    monkeypatch.setattr(client_auth._known, "seconds", 60.0)
    assert pat_flow.exchange(pat_flow.code()).status_code == 200
    code = pat_flow.code()
    with tenancy.bind(mercy):
        application = Application.objects.get()
        application.state = Application.State.SUSPENDED
        application.save()
    refused(pat_flow.exchange(code), "invalid_client", 401)


@pytest.mark.spec("O21")
def test_the_code_is_not_in_the_database(pat_flow, mercy):
    code = pat_flow.code()
    assert len(code) == 43
    with tenancy.bind(mercy):
        assert code not in str(vars(AuthorizationCode.objects.get()))


@pytest.mark.spec("TOKN-20", "TOKN-23", "O10")
def test_an_apps_own_lifetime(pat_flow, mercy):
    with tenancy.bind(mercy):
        Application.objects.update(access_token_seconds=3600)
    body = pat_flow.exchange(pat_flow.code()).json()
    claims = claims_of(body["access_token"])
    assert body["expires_in"] == claims["exp"] - claims["iat"] == 3600


@pytest.mark.spec("O10", "TOKN-11")
def test_claims_of_an_access_token(pat_flow, pat):
    body = pat_flow.exchange(pat_flow.code()).json()
    header, _, _ = body["access_token"].partition(".")
    head = json.loads(base64.urlsafe_b64decode(header + "=="))
    assert (head["typ"], head["alg"], set(head)) == ("at+jwt", "ES256", {"typ", "alg", "kid"})
    claims = claims_of(body["access_token"])
    assert claims["iss"] == pat_flow.issuer
    assert claims["aud"] == f"{pat_flow.issuer}/fhir"
    assert claims["sub"] == str(pat.user.pk)
    assert (claims["client_id"], claims["scope"]) == ("growth-chart", body["scope"])
    assert set(claims) == {
        *("iss", "sub", "aud", "client_id", "scope", "jti", "iat", "exp", "grant"),
        *("patient", "fhirUser", "acr", "auth_time"),
    }


def statements(queries):
    return [query["sql"] for query in queries.captured_queries]


@pytest.mark.spec("D15")
def test_an_exchange_takes_few_statements(pat_flow, mercy, monkeypatch):
    monkeypatch.setattr(client_auth._known, "seconds", 60.0)
    pat_flow.exchange(pat_flow.code())  # keys and the app are in memory now
    form = {
        "grant_type": "authorization_code",
        "code": pat_flow.code(),
        "redirect_uri": REDIRECT,
        "code_verifier": pat_flow.verifier,
        "client_id": "growth-chart",
    }
    with tenancy.bind(mercy), CaptureQueriesContext(connection) as queries:
        assert token(OAuthRequest(tenant=mercy, form=form)).status == 200
    taken = statements(queries)
    own = [sql for sql in taken if "audit_" not in sql]
    # The code with grant and person. On PostgreSQL one more for all the rest, event and commit as
    # well; else BEGIN, the code's use, COMMIT.
    is_postgres = connection.vendor == "postgresql"
    assert len(own) == (1 if is_postgres else 4), own
    assert len(taken) <= (2 if is_postgres else 7), taken


@pytest.mark.spec("O4", "TOKN-08")
def test_a_code_used_by_another_at_this_moment_ends_the_grant(pat_flow, mercy, monkeypatch):
    tell = access_token.issued

    def after_another(request):
        with tenancy.bind(mercy):
            AuthorizationCode.objects.update(used_at=timezone.now())
        return tell(request)

    monkeypatch.setattr(access_token, "issued", after_another)
    refused(pat_flow.exchange(pat_flow.code()), "invalid_grant")
    with tenancy.bind(mercy):
        assert Grant.objects.get().ended_reason == "code_reused"
    assert not trail(mercy, "token.issue")


@pytest.mark.spec("V9")
def test_what_changes_again_and_again_is_tried_later(pat_flow, mercy, monkeypatch):
    code = pat_flow.code()
    with monkeypatch.context() as patched:
        patched.setattr("audit.record.record_with", lambda *_: False)
        refused(pat_flow.exchange(code), "temporarily_unavailable", 503)
    assert pat_flow.exchange(code).status_code == 200


# The request itself


@pytest.mark.spec("TOKN-01", "ERRS-03")
@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_only_post(flow, method):
    response = getattr(flow.client, method)(f"{flow.path}/oauth/token")
    assert response.status_code == 405
    assert response["Allow"] == "POST, OPTIONS"
    assert response["Content-Type"] == "application/json"


@pytest.mark.spec("A1", "TOKN-01", "O12", "CACH-01")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"grant_type": "authorization_code"}', "application/json"),
        ("grant_type=authorization_code", "text/plain"),
        ("grant_type=authorization_code", ""),
        ("grant_type=%ff", "application/x-www-form-urlencoded"),
        ("grant_type=é", "application/x-www-form-urlencoded"),
        ("a=1&" * 60, "application/x-www-form-urlencoded"),
        ("x" * 70_000, "application/x-www-form-urlencoded"),
        ("", "application/x-www-form-urlencoded"),
    ],
)
def test_only_forms(flow, mercy, body, content_type):
    response = flow.client.post(f"{flow.path}/oauth/token", body, content_type=content_type)
    reason = refused(response, "invalid_request")
    [(_, outcome, details)] = trail(mercy, "token.deny")
    assert (outcome, details["rule"], details["reason"]) == ("denied", "invalid_request", reason)
    assert details["actor"]["type"] == "anonymous"


@pytest.mark.spec("A1", "O12")
def test_a_body_beyond_what_is_read_at_all_is_refused_and_recorded(flow, mercy, settings):
    response = flow.post("x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1), {"Origin": ORIGIN})
    assert "too large" in refused(response, "invalid_request")
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert [outcome for _, outcome, _ in trail(mercy, "token.deny")] == ["denied"]


@pytest.mark.spec("A1", "V8")
def test_a_refusal_that_cannot_be_recorded_is_no_answer(flow, monkeypatch):
    def fail(*_):
        raise AuditUnavailableError("down")

    monkeypatch.setattr("smart.server.endpoint.record.record", fail)
    response = flow.client.get(f"{flow.path}/oauth/token")
    refused(response, "temporarily_unavailable", 503)


CLAIM = "jane.doe@email.com MRN12346 potassium 5.1"


@pytest.mark.spec("A1", "A2")
@pytest.mark.parametrize("by", ["form", "basic"])
def test_what_names_no_app_is_kept_sealed(flow, mercy, by):
    form = {"grant_type": "authorization_code", "code": "x", "redirect_uri": REDIRECT}
    if by == "form":
        response = flow.post({**form, "client_id": CLAIM})
    else:
        sent = base64.b64encode(f"{quote(CLAIM)}:secret".encode()).decode()
        response = flow.post(form, {"Authorization": f"Basic {sent}"})
    refused(response, "invalid_client", 401)
    with tenancy.bind(mercy):
        event = AuditEvent.objects.get(code="token.deny")
        assert (event.client_id, event.details["claimed_client_id"]) == ("", CLAIM)
        assert b"jane" not in bytes(raw_details(event))


@pytest.mark.spec("A1")
def test_an_app_that_is_named_but_not_proven_is_found_in_the_trail(flow, mercy):
    sent = base64.b64encode(b"growth-chart:guess").decode()
    refused(
        flow.post({"grant_type": "client_credentials"}, {"Authorization": f"Basic {sent}"}),
        "invalid_client",
        401,
    )
    with tenancy.bind(mercy):
        event = AuditEvent.objects.get(code="token.deny")
        assert (event.client_id, event.details["actor"]["type"]) == ("growth-chart", "anonymous")
        assert "claimed_client_id" not in event.details


def raw_details(event):
    """The column as the database holds it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT details FROM audit_event WHERE seq = %s AND client_id = %s AND request_id = %s",
            [event.seq, event.client_id, event.request_id],
        )
        return cursor.fetchone()[0]


@pytest.mark.spec("O12")
def test_parameters_in_the_query_are_refused(flow):
    response = flow.client.post(
        f"{flow.path}/oauth/token?code=x", "", content_type="application/x-www-form-urlencoded"
    )
    refused(response, "invalid_request")


@pytest.mark.spec("O12", "AUTZ-20")
def test_a_repeated_parameter_is_refused(pat_flow):
    form = f"grant_type=authorization_code&code=a&code=b&redirect_uri={REDIRECT}&client_id=x"
    refused(pat_flow.post(form), "invalid_request")


@pytest.mark.spec("O6", "AUTZ-17")
def test_resource_is_the_server_that_was_authorized(pat_flow, mercy):
    base, code = f"{pat_flow.issuer}/fhir", pat_flow.code()
    for other in ("https://elsewhere.example/fhir", pat_flow.issuer, f"{base}/Patient"):
        refused(pat_flow.exchange(code, resource=other), "invalid_target")
    assert trail(mercy, "token.deny")[-1][2]["rule"] == "invalid_target"
    twice = f"grant_type=authorization_code&code={code}&resource={base}&resource={base}"
    refused(pat_flow.post(twice), "invalid_target")
    body = pat_flow.exchange(code, resource=f"{base}/").json()
    assert claims_of(body["access_token"])["aud"] == base


@pytest.mark.spec("O12")
def test_parameters_of_no_meaning_change_nothing(pat_flow):
    response = pat_flow.exchange(
        pat_flow.code(), client="x", user="y", scopes="patient/*.cruds", extra_credentials="z"
    )
    assert response.status_code == 200
    assert "patient/*.cruds" not in response.json()["scope"]


@pytest.fixture(scope="module")
def hostile():
    """One tenant and browser for all generated requests."""
    tenant = fresh_tenant("mercy")
    connect(tenant)
    an_app(tenant)
    return Flow(tenant)


FORMS = st.dictionaries(
    st.sampled_from(
        ["grant_type", "code", "redirect_uri", "code_verifier", "client_id", "scope", "state"]
    )
    | st.text(max_size=10),
    st.text(max_size=60)
    | st.sampled_from(["authorization_code", "client_credentials", "growth-chart", REDIRECT, "x"]),
    max_size=8,
)


@pytest.mark.spec("ERRS-03")
@settings(max_examples=150, deadline=None)
@given(form=FORMS, headers=st.none() | st.text(st.characters(max_codepoint=255), max_size=40))
def test_no_form_makes_a_500(hostile, form, headers):
    body = urlencode(form, errors="surrogatepass")
    sent = {"Authorization": f"Basic {headers}"} if headers is not None else {}
    response = hostile.post(body, sent)
    assert response.status_code in (400, 401)
    assert response.json()["error"]


@pytest.mark.spec("ERRS-03")
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200))
def test_no_bytes_make_a_500(hostile, body):
    response = hostile.client.generic(
        "POST", f"{hostile.path}/oauth/token", body, "application/x-www-form-urlencoded"
    )
    assert response.status_code in (400, 401)
    assert response.json()["error"]


@pytest.mark.spec("V8", "ERRS-06")
def test_no_trail_no_token(pat_flow, monkeypatch, mercy):
    def fail(*_):
        raise AuditUnavailableError("down")

    code = pat_flow.code()
    with monkeypatch.context() as patched:
        patched.setattr("audit.record.record_with", fail)
        response = pat_flow.exchange(code)
    refused(response, "temporarily_unavailable", 503)
    assert response["Retry-After"]
    assert pat_flow.exchange(code).status_code == 200
