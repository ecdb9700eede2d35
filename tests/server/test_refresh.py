"""Refresh tokens: rotation, reuse, grace, narrowing, ends of all kinds (REFR, O13, D4)."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import events
from audit.record import AuditUnavailableError
from authfi.accounts import sessions
from authfi.accounts.models import Session
from authfi.lib import tenancy
from consent import services
from consent.models import Consent
from smart import tokens
from smart.models import Application, Grant, RefreshToken
from smart.models.handles import handle_digest
from smart.server import client_auth, token_store
from smart.server.endpoint import OAuthRequest
from smart.server.token import token
from tenants import policies, tasks
from tests.cast import ADMIN
from tests.server.conftest import (
    ORIGIN,
    SCOPES,
    Flow,
    an_app,
    claims_of,
    refused,
    trail,
)

BASIC = "launch/patient openid fhirUser patient/*.rs"
OFFLINE = f"{BASIC} offline_access"
ONLINE = f"{BASIC} online_access"


def connected(flow, scope=OFFLINE, **changed):
    """The token response of an app that stays connected."""
    response = flow.exchange(flow.code(scope=scope, **changed))
    assert response.status_code == 200, response.content
    return response.json()


def refresh(flow, raw, headers=None, **changed):
    form = {
        "grant_type": "refresh_token",
        "refresh_token": raw,
        "client_id": flow.client_id,
        **changed,
    }
    return flow.post({n: v for n, v in form.items() if v is not None}, headers)


def shift(mercy, **by):
    """Let time pass for every row of a token's family."""
    delta = timedelta(**by)
    with tenancy.bind(mercy):
        for row in RefreshToken.objects.all():
            used = row.used_at and row.used_at - delta
            RefreshToken.objects.filter(pk=row.pk).update(
                expires_at=row.expires_at - delta, used_at=used
            )
        for grant in Grant.objects.all():
            ends = grant.refresh_ends_at and grant.refresh_ends_at - delta
            Grant.objects.filter(pk=grant.pk).update(
                expires_at=grant.expires_at - delta, refresh_ends_at=ends
            )


@pytest.fixture
def app(app, mercy):
    """The growth chart, which may stay connected either way."""
    with tenancy.bind(mercy):
        Application.objects.update(
            grant_types="authorization_code refresh_token", scopes=f"{SCOPES} online_access"
        )
        return Application.objects.get()


# Who gets one


@pytest.mark.spec("REFR-14", "REFR-16", "GRNT-08", "TOKN-16")
def test_with_offline_access_there_is_one(pat_flow, mercy):
    body = connected(pat_flow)
    assert body["scope"] == OFFLINE
    assert len(body["refresh_token"]) == 43
    with tenancy.bind(mercy):
        assert Grant.objects.get().lasts == Grant.Lasts.OFFLINE


@pytest.mark.spec("REFR-17")
def test_without_there_is_none(pat_flow, mercy):
    assert "refresh_token" not in connected(pat_flow, BASIC)
    with tenancy.bind(mercy):
        assert not RefreshToken.objects.exists()
        assert Grant.objects.get().lasts == Grant.Lasts.TOKEN


@pytest.mark.spec("REFR-17", "TOKN-24")
def test_an_app_that_cannot_refresh_is_granted_none(pat_flow, mercy):
    with tenancy.bind(mercy):
        Application.objects.update(grant_types="authorization_code")
    body = connected(pat_flow)
    assert body["scope"] == BASIC
    assert "refresh_token" not in body
    refused(refresh(pat_flow, "x" * 43), "unauthorized_client")


@pytest.mark.spec("REFR-15", "REFR-17")
def test_of_both_offline_holds(pat_flow, mercy):
    body = connected(pat_flow, f"{OFFLINE} online_access")
    assert body["scope"] == OFFLINE
    with tenancy.bind(mercy):
        assert Grant.objects.get().lasts == Grant.Lasts.OFFLINE


# A refresh


@pytest.mark.spec(
    *("REFR-01", "REFR-03", "REFR-05", "REFR-06", "REFR-07", "REFR-08", "REFR-10", "REFR-13"),
    *("CORS-02", "A1"),
)
def test_a_refresh(pat_flow, mercy):
    first = connected(pat_flow)
    response = refresh(pat_flow, first["refresh_token"], {"Origin": ORIGIN})
    assert response.status_code == 200, response.content
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    second = response.json()
    assert set(second) == set(first)
    changed = {"access_token", "refresh_token", "id_token"}
    assert {n: v for n, v in second.items() if n not in changed} == {
        n: v for n, v in first.items() if n not in changed
    }
    assert all(second[name] != first[name] for name in changed - {"id_token"})
    old, new = claims_of(first["access_token"]), claims_of(second["access_token"])
    assert {n: v for n, v in new.items() if n not in ("jti", "iat", "exp")} == {
        n: v for n, v in old.items() if n not in ("jti", "iat", "exp")
    }
    audience = f"{pat_flow.issuer}/fhir"
    assert tokens.authenticate(second["access_token"], tenant=mercy, audience=audience)
    [(_, outcome, details)] = trail(mercy, "token.refresh")
    assert outcome == "success"
    assert details["jti"] == new["jti"]
    assert details["scopes"] == first["scope"].split()


@pytest.mark.spec("IDTK-14", "IDTK-15")
def test_a_refreshed_id_token_names_the_same_sign_in(pat_flow):
    first = connected(pat_flow, nonce="abc")
    second = refresh(pat_flow, first["refresh_token"]).json()
    old, new = claims_of(first["id_token"]), claims_of(second["id_token"])
    assert old.pop("nonce") == "abc"
    same = ("iss", "sub", "aud", "auth_time", "acr", "amr", "fhirUser")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert set(new) == set(old)


@pytest.mark.spec("REFR-04", "REFR-06", "O13", "IDTK-13")
@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (OFFLINE, OFFLINE),
        ("patient/*.rs openid", "openid patient/*.rs"),
        ("patient/*.rs patient/*.rs", "patient/*.rs"),
        ("patient/*.rs fhirUser", "patient/*.rs"),
    ],
)
def test_fewer_scopes(pat_flow, mercy, asked, granted):
    first = connected(pat_flow)
    second = refresh(pat_flow, first["refresh_token"], scope=asked).json()
    assert second["scope"] == claims_of(second["access_token"])["scope"] == granted
    assert ("id_token" in second) == ("openid" in granted)
    third = refresh(pat_flow, second["refresh_token"]).json()
    assert third["scope"] == first["scope"], "the refresh token keeps what was granted"


@pytest.mark.spec("REFR-04", "O13")
@pytest.mark.parametrize(
    "scope",
    [
        f"{OFFLINE} patient/*.cruds",
        "patient/Observation.c",
        "user/*.rs",
        "openid  patient/*.rs",
        ".dus",
        "offline_access",
        "launch/patient",
    ],
)
def test_no_other_scopes(pat_flow, scope):
    raw = connected(pat_flow)["refresh_token"]
    refused(refresh(pat_flow, raw, scope=scope), "invalid_scope")
    assert refresh(pat_flow, raw).status_code == 200, "a refusal uses nothing up"


@pytest.mark.spec("REFR-04", "TOKN-22")
def test_a_narrowed_token_never_falls_back_on_the_grant(pat_flow, mercy):
    granular = [f"patient/Observation.rs?code=http://loinc.org|{n}-{n % 10}" for n in range(90)]
    first = connected(pat_flow, " ".join([*granular, "launch/patient", "offline_access"]))
    assert claims_of(first["access_token"])["scope_on_grant"] is True
    narrower = refresh(pat_flow, first["refresh_token"], scope=" ".join(granular[:60])).json()
    token_ = tokens.authenticate(
        narrower["access_token"], tenant=mercy, audience=f"{pat_flow.issuer}/fhir"
    )
    assert [scope.text for scope in token_.scopes] == granular[:60]


@pytest.mark.spec("REFR-04", "O18")
def test_a_narrowed_token_that_nobody_would_accept_is_not_issued(pat_flow):
    granular = [f"patient/Observation.rs?code=http://loinc.org|{n}-{'9' * 90}" for n in range(60)]
    first = connected(pat_flow, " ".join([*granular, "launch/patient", "offline_access"]))
    raw = first["refresh_token"]
    refused(refresh(pat_flow, raw, scope=" ".join(granular[:59])), "invalid_scope")
    assert refresh(pat_flow, raw).status_code == 200


# Refusals


@pytest.mark.spec("REFR-01", "REFR-02", "REFR-11", "TOKN-24", "ERRS-03")
@pytest.mark.parametrize(
    ("changed", "error", "status"),
    [
        ({"refresh_token": None}, "invalid_request", 400),
        ({"refresh_token": ""}, "invalid_request", 400),
        ({"refresh_token": "c0ffee00-0000-4000-8000-000000000000"}, "invalid_grant", 400),
        ({"refresh_token": "\0\ud7ff"}, "invalid_grant", 400),
        ({"client_id": None, "refresh_token": "unknown"}, "invalid_client", 401),
        ({"client_id": None, "client_secret": "x"}, "invalid_client", 401),
        ({"client_id": "BAD"}, "invalid_client", 401),
        ({"client_secret": "x"}, "invalid_client", 401),
    ],
)
def test_a_refresh_is_refused(pat_flow, mercy, changed, error, status):
    raw = connected(pat_flow)["refresh_token"]
    refused(refresh(pat_flow, **{"raw": raw} | changed), error, status)
    _, outcome, details = trail(mercy, "token.deny")[-1]
    assert (outcome, details["rule"]) == ("denied", error)
    assert refresh(pat_flow, raw).status_code == 200, "the real token keeps working"


@pytest.mark.spec("REFR-02")
def test_a_public_apps_token_says_whose_it_is(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    assert refresh(pat_flow, raw, client_id=None).status_code == 200
    with tenancy.bind(mercy):
        assert RefreshToken.objects.filter(used_at__isnull=False).count() == 1


@pytest.mark.spec("REFR-02")
def test_a_confidential_apps_token_alone_is_not_enough(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    with tenancy.bind(mercy):
        Application.objects.update(client_type=Application.CLIENT_CONFIDENTIAL)
    refused(refresh(pat_flow, raw, client_id=None), "invalid_client", 401)


@pytest.mark.spec("REFR-09", "O13")
def test_a_token_of_another_app_or_tenant(pat_flow, mercy, lakeside):
    an_app(mercy, "other-app", grant_types=["authorization_code", "refresh_token"])
    an_app(lakeside, grant_types=["authorization_code", "refresh_token"])
    raw = connected(pat_flow)["refresh_token"]
    refused(refresh(pat_flow, raw, client_id="other-app"), "invalid_grant")
    refused(refresh(Flow(lakeside), raw), "invalid_grant")
    assert refresh(pat_flow, raw).status_code == 200


@pytest.mark.spec("O10", "O18")
def test_an_access_token_does_not_refresh(pat_flow):
    refused(refresh(pat_flow, connected(pat_flow)["access_token"]), "invalid_grant")


@pytest.mark.spec("O21", "D4")
def test_the_database_opens_nothing(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    successor = refresh(pat_flow, raw).json()["refresh_token"]
    with connection.cursor() as cursor, tenancy.bind(mercy):
        rows = [vars(row) for row in RefreshToken.objects.all()]
        cursor.execute("SELECT token, successor FROM smart_refreshtoken")
        assert cursor.fetchall()
        old = RefreshToken.objects.exclude(successor="").get()
    assert raw not in str(rows)
    assert successor not in str(rows)
    assert successor.encode() not in base64.b64decode(old.successor)
    stranger = token_store.Found("x" * 43, old, has_session=True)
    with tenancy.bind(mercy), pytest.raises(ValueError, match="does not open"):
        token_store.successor_of(stranger, timezone.now())


# Twice


@pytest.mark.spec("REFR-12", "O13")
def test_a_lost_answer_is_told_again_once(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    lost = refresh(pat_flow, raw).json()
    again = refresh(pat_flow, raw).json()
    assert again["refresh_token"] == lost["refresh_token"]
    assert again["access_token"] != lost["access_token"]
    third = refresh(pat_flow, again["refresh_token"])
    assert third.status_code == 200
    with tenancy.bind(mercy):
        assert RefreshToken.objects.filter(used_at__isnull=True).count() == 1


def assert_family_is_dead(flow, mercy, *raw, access):
    for one in raw:
        refused(refresh(flow, one), "invalid_grant")
    with pytest.raises(tokens.InvalidTokenError, match="ended"):
        tokens.authenticate(access, tenant=mercy, audience=f"{flow.issuer}/fhir")
    [(_, outcome, _)] = trail(mercy, "token.reuse")
    assert outcome == "denied"
    with tenancy.bind(mercy):
        assert Grant.objects.get().ended_reason == "refresh_token_reused"


@pytest.mark.spec("REFR-12", "O13")
def test_told_a_third_time_it_is_theft(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    newest = [refresh(pat_flow, raw).json() for _ in range(2)][-1]
    refused(refresh(pat_flow, raw), "invalid_grant")
    assert_family_is_dead(
        pat_flow, mercy, newest["refresh_token"], raw, access=newest["access_token"]
    )


@pytest.mark.spec("REFR-12", "O13")
def test_after_the_grace_it_is_theft(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    newest = refresh(pat_flow, raw).json()
    shift(mercy, seconds=11)
    refused(refresh(pat_flow, raw), "invalid_grant")
    assert_family_is_dead(pat_flow, mercy, newest["refresh_token"], access=newest["access_token"])


@pytest.mark.spec("REFR-12", "O13")
def test_once_the_successor_was_used_it_is_theft(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    second = refresh(pat_flow, raw).json()
    third = refresh(pat_flow, second["refresh_token"]).json()
    refused(refresh(pat_flow, raw), "invalid_grant")
    assert_family_is_dead(pat_flow, mercy, third["refresh_token"], access=third["access_token"])


@pytest.mark.spec("REFR-12", "O13")
def test_a_refused_repetition_does_not_count(pat_flow):
    raw = connected(pat_flow)["refresh_token"]
    lost = refresh(pat_flow, raw).json()
    refused(refresh(pat_flow, raw, scope="user/*.rs"), "invalid_scope")
    assert refresh(pat_flow, raw).json()["refresh_token"] == lost["refresh_token"]


@pytest.mark.spec("REFR-12", "O13")
def test_of_fifty_at_once_one_rotates(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": raw, "client_id": "growth-chart"}

    def attempt(_):
        try:
            with tenancy.bind(mercy):
                return token(OAuthRequest(tenant=mercy, form=form))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(attempt, range(50)))
    good = [answer.body for answer in answers if answer.status == 200]
    assert len(good) == 2, [answer.body for answer in answers]
    assert len({body["refresh_token"] for body in good}) == 1
    assert {a.body["error"] for a in answers if a.status == 400} == {"invalid_grant"}
    with tenancy.bind(mercy):
        assert RefreshToken.objects.count() == 2, "one rotation"
        assert Grant.objects.get().ended_reason == "refresh_token_reused"
    assert len(trail(mercy, "token.reuse")) == 1


# Ends


@pytest.mark.spec("REFR-18", "O13")
@pytest.mark.parametrize(
    ("patient_access", "unused", "works"),
    [(False, 29, True), (False, 31, False), (True, 92, True), (True, 101, False)],
)
def test_unused_it_ends(pat_flow, mercy, patient_access, unused, works):
    with tenancy.bind(mercy):
        Application.objects.update(patient_access=patient_access)
    raw = connected(pat_flow)["refresh_token"]
    shift(mercy, days=unused)
    response = refresh(pat_flow, raw)
    if works:
        assert response.status_code == 200
    else:
        refused(response, "invalid_grant")


@pytest.mark.spec("O13", "REFR-18")
@pytest.mark.parametrize(("patient_access", "works"), [(False, False), (True, True)])
def test_on_day_91(pat_flow, mercy, patient_access, works):
    with tenancy.bind(mercy):
        Application.objects.update(patient_access=patient_access)
    raw = connected(pat_flow)["refresh_token"]
    for _ in range(4):
        shift(mercy, days=22)
        raw = refresh(pat_flow, raw).json()["refresh_token"]
    shift(mercy, days=3)
    response = refresh(pat_flow, raw)
    if works:
        assert response.status_code == 200
    else:
        refused(response, "invalid_grant")


@pytest.mark.spec("REFR-18")
def test_an_app_for_patients_goes_on_for_years(pat_flow, mercy):
    with tenancy.bind(mercy):
        Application.objects.update(patient_access=True)
    raw = connected(pat_flow)["refresh_token"]
    for _ in range(10):
        shift(mercy, days=92)
        raw = refresh(pat_flow, raw).json()["refresh_token"]


@pytest.mark.spec("O13", "TOKN-13", "TOKN-21")
def test_no_access_token_outlives_the_last_day(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    with tenancy.bind(mercy):
        ends_at = timezone.now() + timedelta(seconds=300)
        Grant.objects.update(refresh_ends_at=ends_at)
    body = refresh(pat_flow, raw).json()
    assert 290 < body["expires_in"] <= 300
    assert claims_of(body["access_token"])["exp"] <= ends_at.timestamp()
    with tenancy.bind(mercy):
        newest = RefreshToken.objects.get(used_at__isnull=True)
        assert newest.expires_at == newest.grant.expires_at == ends_at


@pytest.mark.spec("O13", "D10")
def test_the_tenants_own_limits(pat_flow, mercy):
    with tenancy.bind(mercy):
        policies.change(kind="tokens", changes={"idle_days": 2, "absolute_days": 3}, actor=ADMIN)
    raw = connected(pat_flow)["refresh_token"]
    shift(mercy, hours=47)
    raw = refresh(pat_flow, raw).json()["refresh_token"]
    shift(mercy, hours=26)
    refused(refresh(pat_flow, raw), "invalid_grant")


@pytest.mark.spec("REFR-15")
def test_online_access_ends_with_the_session(pat_flow, pat, mercy):
    body = connected(pat_flow, ONLINE)
    assert body["scope"] == ONLINE
    raw = refresh(pat_flow, body["refresh_token"]).json()["refresh_token"]
    with tenancy.bind(mercy):
        sessions.end(pat.user)
    refused(refresh(pat_flow, raw), "invalid_grant")


@pytest.mark.spec("REFR-15")
@pytest.mark.parametrize("swept", [False, True])
def test_online_access_ends_with_a_session_that_expired(pat_flow, mercy, swept):
    raw = connected(pat_flow, ONLINE)["refresh_token"]
    with tenancy.bind(mercy):
        Session.objects.update(expires_at=timezone.now())
        if swept:
            Session.objects.all().delete()
    refused(refresh(pat_flow, raw), "invalid_grant")


@pytest.mark.spec("REFR-14")
def test_offline_access_outlives_the_session(pat_flow, pat, mercy):
    raw = connected(pat_flow)["refresh_token"]
    with tenancy.bind(mercy):
        sessions.end(pat.user)
    assert refresh(pat_flow, raw).status_code == 200


@pytest.mark.spec("REFR-19", "REVO-07", "D3")
def test_a_deactivated_person(pat_flow, pat, mercy):
    raw = connected(pat_flow)["refresh_token"]
    with tenancy.bind(mercy):
        pat.user.is_active = False
        pat.user.save()
    refused(refresh(pat_flow, raw), "invalid_grant")


@pytest.mark.spec("REFR-19", "REVO-07", "D3")
def test_a_withdrawn_consent(pat_flow, pat, mercy):
    raw = connected(pat_flow)["refresh_token"]
    with tenancy.bind(mercy):
        services.withdraw(consent=Consent.objects.get(), actor=events.Actor.person(pat.user.pk))
    refused(refresh(pat_flow, raw), "invalid_grant")
    assert not trail(mercy, "token.reuse"), "what was ended is no theft"


@pytest.mark.spec("REFR-19", "REVO-07")
def test_a_suspended_app(pat_flow, mercy):
    body = connected(pat_flow)
    with tenancy.bind(mercy):
        Application.objects.update(state=Application.State.SUSPENDED)
    refused(refresh(pat_flow, body["refresh_token"]), "invalid_client", 401)
    with pytest.raises(tokens.InvalidTokenError, match="ended"):
        tokens.authenticate(body["access_token"], tenant=mercy, audience=f"{pat_flow.issuer}/fhir")


# Cost, failure, clearing up


@pytest.mark.spec("D15")
def test_a_refresh_takes_few_statements(pat_flow, mercy, monkeypatch):
    monkeypatch.setattr(client_auth._known, "seconds", 60.0)
    raw = refresh(pat_flow, connected(pat_flow)["refresh_token"]).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": raw, "client_id": "growth-chart"}
    with tenancy.bind(mercy), CaptureQueriesContext(connection) as queries:
        policies.tokens()
        before = len(queries.captured_queries)
        assert token(OAuthRequest(tenant=mercy, form=form)).status == 200
    taken = [query["sql"] for query in queries.captured_queries[before:]]
    own = [sql for sql in taken if "audit_" not in sql]
    # The token with grant, person and session. On PostgreSQL one more for all the rest, event and
    # commit as well; else BEGIN, the grant's new end, the token's use, its successor, COMMIT.
    is_postgres = connection.vendor == "postgresql"
    assert len(own) == (1 if is_postgres else 6), own
    assert len(taken) <= (2 if is_postgres else 9), taken


@pytest.mark.spec("V8", "V9")
def test_no_trail_no_rotation(pat_flow, monkeypatch):
    def fail(*_):
        raise AuditUnavailableError("down")

    raw = connected(pat_flow)["refresh_token"]
    with monkeypatch.context() as patched:
        patched.setattr("audit.record.record_with", fail)
        refused(refresh(pat_flow, raw), "temporarily_unavailable", 503)
    assert refresh(pat_flow, raw).json()["refresh_token"] != raw


@pytest.mark.spec("D4")
def test_expired_tokens_are_swept(pat_flow, mercy):
    raw = connected(pat_flow)["refresh_token"]
    kept = refresh(pat_flow, raw).json()["refresh_token"]
    with tenancy.bind(mercy):
        RefreshToken.objects.filter(used_at__isnull=False).update(
            expires_at=timezone.now() - timedelta(hours=2)
        )
    tasks.sweep_expired()
    with tenancy.bind(mercy):
        assert RefreshToken.objects.get().token == handle_digest("refresh_token", kept)
