"""An app asks to sign its person out (OpenID Connect RP-Initiated Logout 1.0; O9, N14)."""

from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from authfi.lib import tenancy
from smart.models import Application, Grant
from tests.cast import sign_in
from tests.conftest import fresh_tenant
from tests.server.conftest import Flow, an_app, connect, trail

AFTER = "https://app.example/bye?x=1"


@pytest.fixture
def gone(pat_flow, mercy):
    """Pat has opened the app; its ID token."""
    with tenancy.bind(mercy):
        Application.objects.update(post_logout_redirect_uris=AFTER)
    return pat_flow.exchange(pat_flow.code()).json()["id_token"]


def ask(flow, client=None, method="get", **values):
    url = f"{flow.path}/oauth/logout"
    sender = client or flow.client
    if method == "post":
        return sender.post(url, values)
    return sender.get(f"{url}?{urlencode(values)}")


def is_signed_in(flow):
    return flow.client.get(f"{flow.path}/").status_code == 200


@pytest.mark.spec("O9", "N14")
def test_with_an_id_token_it_is_done_at_once(pat_flow, gone, mercy):
    response = ask(pat_flow, id_token_hint=gone, post_logout_redirect_uri=AFTER, state="a b&c")
    assert response.status_code == 303
    to = urlsplit(response["Location"])
    assert (to.netloc, to.path, parse_qs(to.query)) == (
        "app.example",
        "/bye",
        {"x": ["1"], "state": ["a b&c"]},
    )
    assert not is_signed_in(pat_flow)
    assert trail(mercy, "auth.logout")[-1][1] == "success"
    with tenancy.bind(mercy):
        assert Grant.objects.get().ended_reason == "session_ended"


def test_an_expired_id_token_still_names_its_person(pat_flow, gone):
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        assert ask(pat_flow, id_token_hint=gone).status_code == 200
        assert not is_signed_in(pat_flow)


@pytest.mark.spec("O7", "O9")
def test_without_one_the_person_is_asked(pat_flow, gone):
    page = ask(pat_flow, client_id="growth-chart", post_logout_redirect_uri=AFTER)
    assert page.status_code == 200
    assert "Growth Chart asks to sign you out" in page.content.decode()
    assert f'href="{pat_flow.path}/">Stay signed in<' in page.content.decode()
    assert "https://app.example" in page["Content-Security-Policy"]
    assert is_signed_in(pat_flow)
    form = {"client_id": "growth-chart", "post_logout_redirect_uri": AFTER}
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = pat_flow.client.cookies
    assert strict.post(f"{pat_flow.path}/oauth/logout/confirm", form).status_code == 403
    assert is_signed_in(pat_flow)
    done = pat_flow.client.post(f"{pat_flow.path}/oauth/logout/confirm", form)
    assert (done.status_code, done["Location"]) == (303, AFTER)
    assert not is_signed_in(pat_flow)


def test_somebody_elses_token_signs_nobody_out_unasked(pat_flow, gone, dr_ada):
    sign_in(pat_flow.client, dr_ada)
    assert ask(pat_flow, id_token_hint=gone).status_code == 200
    assert is_signed_in(pat_flow)


def test_a_form_from_elsewhere_is_sent_on(pat_flow, gone):
    sent = ask(pat_flow, Client(), "post", id_token_hint=gone, post_logout_redirect_uri=AFTER)
    assert sent.status_code == 303
    assert not sent.cookies
    assert pat_flow.client.get(sent["Location"])["Location"] == AFTER


def test_nobody_signed_in_goes_straight_back(flow, mercy):
    with tenancy.bind(mercy):
        Application.objects.update(post_logout_redirect_uris=AFTER)
    response = ask(flow, client_id="growth-chart", post_logout_redirect_uri=AFTER)
    assert response["Location"] == AFTER


@pytest.mark.spec("O9", "T4")
@pytest.mark.parametrize(
    "changed",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": AFTER + "&y=2"},
        {"post_logout_redirect_uri": "//evil.example"},
        {"post_logout_redirect_uri": "javascript:alert(1)"},
        {"client_id": "nobody"},
        {"client_id": "other-app"},
        {"id_token_hint": "x.y.z"},
        {"state": "s" * 2049},
        {"id_token_hint": "", "client_id": ""},
    ],
)
def test_what_is_not_proven_leads_nowhere(pat_flow, gone, mercy, changed):
    an_app(mercy, "other-app")
    values = {"id_token_hint": gone, "post_logout_redirect_uri": AFTER, **changed}
    response = ask(pat_flow, **values)
    assert response.status_code == 400
    assert "Location" not in response
    assert is_signed_in(pat_flow)


@pytest.mark.spec("T4", "O18")
def test_another_tenants_token_and_an_access_token_are_no_hints(pat_flow, gone, pat):
    other = fresh_tenant("elsewhere")
    connect(other)
    response = pat_flow.client.get(f"/t/{other.slug}/oauth/logout?id_token_hint={gone}")
    assert response.status_code == 400
    access = pat_flow.exchange(pat_flow.code()).json()["access_token"]
    assert ask(pat_flow, id_token_hint=access).status_code == 400
    assert is_signed_in(pat_flow)


@pytest.mark.spec("O9")
def test_a_refusal_says_whether_anybody_is_signed_in(pat_flow):
    page = ask(pat_flow, client_id="nobody").content.decode()
    assert "You are still signed in" in page
    page = ask(Flow(pat_flow.tenant), client_id="nobody").content.decode()
    assert "You are not signed in here" in page
    assert "still signed in" not in page
