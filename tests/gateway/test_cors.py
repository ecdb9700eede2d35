"""Which browser origins may read the gateway's answers (CORS-01 to CORS-05)."""

import pytest

from tests.gateway.conftest import ORIGIN


@pytest.mark.spec("CORS-01")
@pytest.mark.parametrize("origin", [None, ORIGIN, "https://tester.example", "null"])
def test_any_origin_reads_metadata(hospital, origin):
    reply = hospital.ask("/metadata", headers={"Origin": origin} if origin else {})
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.spec("CORS-02", "CORS-04", "CORS-05")
@pytest.mark.parametrize(
    ("path", "status"),
    [("/Patient/789", 200), ("/Patient/790", 403), ("/Patient/..", 400), ("/Observation/x", 404)],
)
def test_a_registered_origin_reads_every_answer(hospital, path, status):
    token = hospital.token()
    reply = hospital.ask(path, token, headers={"Origin": ORIGIN})
    assert reply.status == status
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert "WWW-Authenticate" in reply.headers["access-control-expose-headers"]
    assert reply.headers["vary"] == "Authorization, Origin"
    assert "access-control-allow-credentials" not in reply.headers
    unauthorized = hospital.ask(path, headers={"Origin": ORIGIN})
    assert (unauthorized.status, unauthorized.headers["access-control-allow-origin"]) == (
        401,
        ORIGIN,
    )


@pytest.mark.spec("CORS-02", "CORS-05")
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "*", "https://app.example.evil", "http://app.example", "\xff"],
)
def test_another_origin_reads_nothing(hospital, origin):
    token = hospital.token()
    reply = hospital.ask("/Patient/789", token, headers={"Origin": origin})
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert reply.headers["vary"] == "Authorization, Origin"


@pytest.mark.spec("CORS-03", "CORS-05")
def test_a_preflight_is_answered_without_a_token(hospital, clinic):
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    for path in ("/Patient/789", "/Observation?x=y", "/metadata", "/Patient/.."):
        reply = hospital.ask(path, method="OPTIONS", headers=asked)
        assert (reply.status, reply.body) == (204, b"")
        assert "content-length" not in reply.headers
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        methods = set(reply.headers["access-control-allow-methods"].split(", "))
        assert methods >= {"GET", "POST", "PUT", "PATCH", "DELETE"}
        allowed = set(reply.headers["access-control-allow-headers"].split(", "))
        assert allowed >= {
            *("Authorization", "Content-Type", "Accept", "Prefer"),
            *("If-Match", "If-None-Match", "X-Requested-With"),
        }
        assert hospital.events(reply) == []
    stranger = {**asked, "Origin": "https://evil.example"}
    reply = hospital.ask("/Patient/789", method="OPTIONS", headers=stranger)
    assert not [name for name in reply.headers if name.startswith("access-control")]
