"""Who may read the token endpoint's answers from a browser (CORS)."""

import pytest

from smart import cors
from tests.server.conftest import ORIGIN, an_app


@pytest.mark.spec("CAUT-02", "CORS-02", "CORS-04", "CORS-05", "CORS-06")
def test_a_registered_origin_reads_answers_good_and_bad(pat_flow):
    good = pat_flow.exchange(pat_flow.code(), {"Origin": ORIGIN})
    assert good.status_code == 200
    bad = pat_flow.exchange("BAD", {"Origin": ORIGIN})
    unknown = pat_flow.exchange("BAD", {"Origin": ORIGIN}, client_id="nobody")
    unread = pat_flow.client.post(
        f"{pat_flow.path}/oauth/token",
        "{}",
        content_type="application/json",
        headers={"Origin": ORIGIN},
    )
    for response in (good, bad, unknown, unread):
        assert response["Access-Control-Allow-Origin"] == ORIGIN
        assert "Origin" in response["Vary"]
        assert "WWW-Authenticate" in response["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in response


@pytest.mark.spec("CORS-02", "O24")
def test_an_app_is_read_from_its_own_origins_only(pat_flow, mercy):
    an_app(mercy, "other-app", allowed_origins=["https://other.example"])
    for origin in (
        "https://other.example",
        "https://evil.example",
        "null",
        "https://app.example:1",
    ):
        response = pat_flow.exchange(pat_flow.code(), {"Origin": origin})
        assert "Access-Control-Allow-Origin" not in response
        assert "Origin" in response["Vary"]


@pytest.mark.spec("CORS-03")
def test_preflight(flow, mercy):
    an_app(mercy, "other-app", allowed_origins=["https://other.example"])
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "accept"}
    for origin, is_known in ((ORIGIN, True), ("https://other.example", True), ("https://x", False)):
        response = flow.client.options(
            f"{flow.path}/oauth/token", headers={"Origin": origin, **asked}
        )
        assert response.status_code == 204
        assert response.get("Access-Control-Allow-Origin") == (origin if is_known else None)
        assert ("POST" in response.get("Access-Control-Allow-Methods", "")) is is_known
        assert ("Authorization" in response.get("Access-Control-Allow-Headers", "")) is is_known


@pytest.mark.spec("CORS-05")
@pytest.mark.parametrize(
    ("origin", "allowed", "told"),
    [
        ("https://a.example", frozenset({"https://a.example"}), "https://a.example"),
        ("https://a.example", "*", "*"),
        ("", "*", "*"),
        ("", frozenset({""}), None),
        ("https://a.example.evil", frozenset({"https://a.example"}), None),
        ("https://A.example", frozenset({"https://a.example"}), None),
        ("null", frozenset(), None),
    ],
)
def test_an_origin_is_matched_whole(origin, allowed, told):
    headers = cors.cors_headers(origin, allowed)
    assert headers.get("Access-Control-Allow-Origin") == told
    assert ("Vary" in headers) is (told != "*")
    assert ("Access-Control-Max-Age" in cors.preflight_headers(origin, allowed)) is bool(told)


@pytest.mark.spec("CORS-03", "D2")
async def test_origins_are_the_tenants_own(app, mercy, lakeside):
    assert await cors.aregistered_origins(mercy) == {ORIGIN}
    assert await cors.aregistered_origins(lakeside) == set()
    assert cors.registered_origins(mercy) == {ORIGIN}
