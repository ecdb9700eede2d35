"""Authorize by POST: a form of the app's own page, which brings none of our cookies (AUTZ-02)."""

from urllib.parse import urlencode

import pytest
from django.test import Client

from authfi.lib import tenancy
from smart.models import AuthorizationRequest
from tests.cast import sign_in
from tests.server.conftest import answer_of, trail

FORM = "application/x-www-form-urlencoded"


def post(flow, body=None, content_type=FORM, query="", **changed):
    """As a browser sends a foreign form: without the cookies of SameSite=Lax."""
    body = urlencode(flow.parameters(**changed)) if body is None else body
    path = f"{flow.path}/oauth/authorize{query}"
    return Client(enforce_csrf_checks=True).post(path, body, content_type=content_type)


@pytest.mark.spec("AUTZ-02", "O7")
def test_a_form_from_elsewhere_ends_with_a_code(pat_flow):
    taken_in = post(pat_flow)
    assert taken_in.status_code == 303
    assert not taken_in.cookies, "a cookie here would sign out whoever is signed in"
    answer = answer_of(pat_flow.decide(taken_in["Location"]))
    assert answer["state"] == pat_flow.parameters()["state"]
    assert pat_flow.exchange(answer["code"]).status_code == 200


@pytest.mark.spec("AUTZ-02")
def test_it_goes_on_in_the_browser_that_opens_it_first(pat_flow, pat):
    going_on = post(pat_flow)["Location"]
    first, second = Client(), Client()
    assert "/login" in first.get(going_on)["Location"]
    assert second.get(going_on).status_code == 400
    assert pat_flow.client.get(going_on).status_code == 400
    sign_in(first, pat)
    assert "/consent/" in first.get(going_on)["Location"]


@pytest.mark.spec("AUTZ-02", "ERRS-01", "ERRS-02")
def test_the_checks_are_those_of_get(flow, mercy):
    assert post(flow, client_id="nobody").status_code == 400
    assert answer_of(post(flow, code_challenge=None))["error"] == "invalid_request"
    assert answer_of(post(flow, aud="https://elsewhere.example"))["error"] == "invalid_request"
    with tenancy.bind(mercy):
        assert not AuthorizationRequest.objects.exists()
    assert [outcome for _, outcome, _ in trail(mercy, "launch.deny")] == ["denied"] * 3


@pytest.mark.spec("AUTZ-20", "AUTZ-21", "O12")
def test_query_and_body_are_one_request(flow):
    assert post(flow, query="?foo=bar").status_code == 303
    assert post(flow, query="?state=abc", state=None).status_code == 303
    assert answer_of(post(flow, query="?state=abc"))["error"] == "invalid_request"
    assert post(flow, query="?client_id=growth-chart").status_code == 400


@pytest.mark.spec("AUTZ-22")
def test_thirty_two_kilobytes_reach_the_consent_page(pat_flow):
    names = ("Observation", "Condition", "Procedure", "Encounter")
    scopes = [
        f"patient/{name}.rs?category=https://terminology.example/{'x' * 180}/{number}|code"
        for number in range(32)
        for name in names
    ]
    taken_in = post(pat_flow, scope=" ".join(["openid launch/patient patient/Patient.rs", *scopes]))
    assert taken_in.status_code == 303, taken_in.content
    assert "/oauth/authorize/" in taken_in["Location"]


@pytest.mark.spec("V3", "O20")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"a=b", "text/plain"),
        (b"a=b", "multipart/form-data; boundary=x"),
        (b"client_id=\xff", FORM),
        (b"client_id=%ff", FORM),
        (b"", FORM),
        (b"a=" + b"x" * 70_000, FORM),
        (b"&".join(b"a%d=b" % number for number in range(200)), FORM),
    ],
)
def test_what_is_no_form_stays_here(flow, body, content_type):
    response = post(flow, body, content_type)
    assert response.status_code in (400, 413)
    assert "Location" not in response
