"""Limits at the machine endpoints: 429 with Retry-After, no trail without bound (V1, ERRS-06)."""

import base64
import json
import time
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from authfi.accounts.models import Session
from authfi.lib import tenancy
from smart.models import AuthorizationRequest
from tenants import limits, policies
from tests.cast import ADMIN
from tests.server.confidential import a_confidential_app, basic
from tests.server.conftest import an_app, trail

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(autouse=True)
def one_minute():
    """However long a test takes, all of it happens in one minute."""
    limits.forget()
    minute = int(time.time()) // 60 * 60
    with time_machine.travel(minute + 10, tick=False):
        yield
    limits.forget()


@pytest.fixture
def lowered(settings):
    """Limits that a test reaches soon."""

    def lower(**changed):
        settings.LIMITS = {**settings.LIMITS, **changed}

    return lower


def post(tenant, body="grant_type=authorization_code&client_id=growth-chart", **headers):
    path = f"/t/{tenant.slug}/oauth/token"
    return Client().post(path, body, content_type=FORM, headers=headers)


@pytest.mark.spec("ERRS-06", "V1")
def test_a_testers_traffic_passes_and_a_flood_does_not(mercy):
    an_app(mercy)
    statuses = [post(mercy).status_code for _ in range(60)]
    assert set(statuses) == {400}
    statuses = [post(mercy).status_code for _ in range(540)]
    assert set(statuses) == {400, 429}
    answer = post(mercy)
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert answer.json()["error"] == "temporarily_unavailable"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.spec("V1")
def test_another_app_and_another_tenant_are_not_slowed_down(mercy, lakeside, lowered):
    lowered(token=3)
    for _ in range(4):
        last = post(mercy)
    assert last.status_code == 429
    assert post(mercy, "grant_type=x&client_id=other").status_code == 400
    assert post(lakeside).status_code in (400, 401)


@pytest.mark.spec("CORS-04")
def test_a_browser_can_read_the_429(mercy, lowered):
    an_app(mercy)
    lowered(token=1)
    post(mercy)
    answer = post(mercy, Origin="https://app.example")
    assert answer.status_code == 429
    assert answer["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Retry-After" in answer["Access-Control-Expose-Headers"]


@pytest.mark.spec("V1", "A1")
def test_strangers_do_not_make_the_trail_grow_without_bound(mercy, lowered):
    lowered(refusals=20)
    answers = [post(mercy, f"grant_type=refresh_token&client_id=c{i}") for i in range(60)]
    answers += [post(mercy, "not a form") for _ in range(5)]
    assert [answer.status_code for answer in answers].count(429) >= 44
    assert len(trail(mercy, "token.deny")) <= 21
    [(_, outcome, details)] = trail(mercy, "audit.anomaly")
    assert (outcome, details["reason"]) == ("denied", "throttled: refusals")


@pytest.fixture
def neighbours(mercy):
    """Three apps of one hospital: two that prove themselves, by their headers, and a public one."""
    an_app(mercy)
    headers = {}
    for client_id in ("order-entry", "bedside"):
        _, secret = a_confidential_app(mercy, client_id)
        headers[client_id] = basic(client_id, secret)
    return headers


def refused(tenant, headers, times=1, **extra):
    """The answers to refresh tokens that are none."""
    path, body = f"/t/{tenant.slug}/oauth/token", "grant_type=refresh_token&refresh_token=none"
    return [
        Client(**extra).post(path, body, content_type=FORM, headers=headers).status_code
        for _ in range(times)
    ]


def statuses_of_public(tenant, client_id, times=1, **extra):
    body = f"grant_type=refresh_token&refresh_token=none&client_id={client_id}"
    path = f"/t/{tenant.slug}/oauth/token"
    return [Client(**extra).post(path, body, content_type=FORM).status_code for _ in range(times)]


@pytest.mark.spec("V1", "D18")
def test_a_noisy_app_that_proves_itself_slows_down_itself_alone(mercy, lowered, neighbours):
    lowered(refusals=5)
    assert refused(mercy, neighbours["order-entry"], 8) == [400] * 5 + [429] * 3
    assert refused(mercy, neighbours["order-entry"], REMOTE_ADDR="192.0.2.7") == [429]
    assert refused(mercy, neighbours["bedside"]) == [400]
    assert statuses_of_public(mercy, "growth-chart") == [400]
    assert statuses_of_public(mercy, "no-such-app") == [401]
    [(_, _, details)] = trail(mercy, "audit.anomaly")
    assert (details["reason"], details["key"]) == ("throttled: refusals", "app order-entry")


@pytest.mark.spec("V1", "D18")
def test_strangers_behind_the_same_address_slow_down_no_app(mercy, lowered, neighbours):
    lowered(refusals=5)
    strangers = [statuses_of_public(mercy, f"c{number}")[0] for number in range(8)]
    assert strangers == [401] * 5 + [429] * 3
    assert refused(mercy, neighbours["order-entry"]) == [400]
    assert statuses_of_public(mercy, "growth-chart") == [400]


@pytest.mark.spec("V1", "D18")
def test_a_noisy_public_app_slows_down_itself_and_where_it_is_only(mercy, lowered, neighbours):
    lowered(refusals=5)
    assert statuses_of_public(mercy, "growth-chart", 8) == [400] * 5 + [429] * 3
    assert statuses_of_public(mercy, "growth-chart", REMOTE_ADDR="192.0.2.7") == [400]
    assert refused(mercy, neighbours["bedside"]) == [400]
    assert statuses_of_public(mercy, "no-such-app") == [401]


@pytest.mark.spec("V1", "D18")
@pytest.mark.parametrize("limit", ["token", "refusals"])
def test_who_claims_to_be_an_app_does_not_slow_it_down(mercy, lowered, neighbours, limit):
    lowered(**{limit: 5})
    forged = basic("order-entry", "guessed")
    assert refused(mercy, forged, 8) == [401] * 5 + [429] * 3
    assert refused(mercy, neighbours["order-entry"]) == [400]


@pytest.mark.spec("V1")
def test_calls_of_a_proven_app_are_counted_wherever_it_calls_from(mercy, lowered, neighbours):
    lowered(token=3)
    addresses = [f"192.0.2.{number}" for number in range(1, 6)]
    statuses = [refused(mercy, neighbours["bedside"], REMOTE_ADDR=one)[0] for one in addresses]
    assert statuses == [400] * 3 + [429] * 2


@pytest.mark.spec("V1")
@pytest.mark.parametrize("character", ["x", "\u00e9", "%00"])
def test_what_is_claimed_is_never_kept_as_it_is(mercy, lowered, character):
    lowered(token=2)
    claimed = character * (60_000 // len(quote(character)))
    sent = claimed if character == "%00" else quote(claimed)
    statuses = statuses_of_public(mercy, sent, 4)
    assert statuses == [401] * 2 + [429] * 2
    assert max(len(key) for _, _, key, _ in limits._leases) < 100
    [(_, _, details)] = trail(mercy, "audit.anomaly")
    assert len(details["key"]) < 100


@pytest.mark.spec("V1", "A1")
def test_nor_do_they_at_authorize_and_userinfo(mercy, lowered):
    lowered(refusals=10)
    browser = Client()
    statuses = [
        browser.get(f"/t/{mercy.slug}/oauth/authorize?client_id=c{i}").status_code
        for i in range(15)
    ]
    assert statuses == [400] * 10 + [429] * 5
    assert len(trail(mercy, "launch.deny")) == 10
    answer = browser.get(
        f"/t/{mercy.slug}/oauth/userinfo", headers={"Authorization": "Bearer x.y.z"}
    )
    assert answer.status_code == 429
    assert trail(mercy, "token.deny") == []


def test_introspection_has_a_limit_of_its_own(mercy, lowered):
    lowered(introspection=2)
    path = f"/t/{mercy.slug}/oauth/introspect"
    statuses = [
        Client().post(path, "token=x&client_id=a", content_type=FORM).status_code for _ in range(3)
    ]
    assert statuses[-1] == 429
    assert post(mercy).status_code != 429


@pytest.mark.spec("V1", "A1")
def test_requests_that_lead_back_to_the_app_are_counted_as_refusals(flow, mercy, lowered):
    lowered(refusals=5)
    path = f"/t/{mercy.slug}/oauth/authorize"
    answers = [Client().get(path, flow.parameters(code_challenge=None)) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [303] * 5 + [429] * 5
    assert len(trail(mercy, "launch.deny")) == 5


@pytest.mark.spec("V1", "A1", "AUTZ-15")
def test_silent_requests_are_counted_too(flow, mercy, lowered):
    lowered(refusals=5)
    answers = [flow.client.get(flow.begin(prompt="none")) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [303] * 5 + [429] * 5
    assert len(trail(mercy, "launch.deny")) == 5


@pytest.mark.spec("V1", "A1")
def test_questions_that_were_put_to_nobody_are_counted(mercy, lowered):
    lowered(refusals=5)
    answers = [Client().get(f"/t/{mercy.slug}/consent/{uuid4()}") for _ in range(10)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 5
    assert len(trail(mercy, "consent.deny")) == 5


@pytest.mark.spec("V1", "A1")
def test_forged_tokens_at_the_management_api_are_counted(mercy, lowered):
    lowered(refusals=5)
    issuer = f"http://localhost:8000/t/{mercy.slug}"
    claims = base64.urlsafe_b64encode(json.dumps({"iss": issuer}).encode()).decode().rstrip("=")
    headers = {"Authorization": f"Bearer e30.{claims}.AAAA"}
    path = f"/api/v1/tenants/{mercy.slug}/healthcare"
    answers = [Client().get(path, headers=headers) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 5
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert len(trail(mercy, "token.deny")) == 5


def rows(tenant, model):
    with tenancy.bind(tenant):
        return model.objects.count()


@pytest.mark.spec("V1")
@pytest.mark.parametrize("method", ["get", "post"])
def test_strangers_leave_only_so_many_requests(flow, mercy, lowered, method):
    lowered(visits=5)
    path = f"/t/{mercy.slug}/oauth/authorize"
    form = {"content_type": FORM} if method == "post" else {}
    sent = urlencode(flow.parameters()) if method == "post" else flow.parameters()
    answers = [getattr(Client(), method)(path, sent, **form) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [303] * 5 + [429] * 5
    assert rows(mercy, AuthorizationRequest) == 5


@pytest.mark.spec("V1")
def test_strangers_leave_only_so_many_sessions(mercy, lowered):
    lowered(visits=5)
    path = f"/t/{mercy.slug}/login"
    browsers = [Client() for _ in range(10)]
    statuses = [browser.get(path).status_code for browser in browsers]
    assert statuses == [200] * 5 + [429] * 5
    assert not browsers[-1].cookies
    assert browsers[0].get(path).status_code == 200, "who has a session adds none"
    assert rows(mercy, Session) == 5


@pytest.mark.spec("V1", "D18")
def test_a_trusted_network_changes_shift(flow, mercy, lowered):
    lowered(visits=2)
    with tenancy.bind(mercy):
        policies.change(kind="sign-in", changes={"trusted_networks": ["127.0.0.0/8"]}, actor=ADMIN)
    for _ in range(6):
        assert Client().get(f"/t/{mercy.slug}/login").status_code == 200
