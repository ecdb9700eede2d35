"""Refusals are OperationOutcomes with the headers of RFC 6750 and RFC 9728."""

import orjson
import pytest

from smart.gateway import outcomes
from smart.gateway.outcomes import BadRequest, Realm
from smart.policy.facts import Deny

REALM = Realm(
    "https://auth.example/t/mercy/fhir",
    "https://auth.example/.well-known/oauth-protected-resource/t/mercy/fhir",
)
NAMED = f'Bearer realm="{REALM.base}"'
METADATA = f'resource_metadata="{REALM.metadata}"'


def read(refusal: outcomes.Answer) -> tuple[int, str, str, str | None]:
    body = orjson.loads(refusal.body)
    headers = dict(refusal.headers)
    assert body["resourceType"] == "OperationOutcome"
    assert headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Authorization"
    (issue,) = body["issue"]
    assert issue["severity"] == "error"
    return refusal.status, issue["code"], issue["diagnostics"], headers.get("www-authenticate")


@pytest.mark.spec("RSVR-05", "RSVR-16", "ERRS-04")
def test_without_a_token_no_error_code_is_shown():
    status, issue, _, header = read(outcomes.unauthorized(REALM, was_token_sent=False))
    assert (status, issue) == (401, "login")
    assert header == f"{NAMED}, {METADATA}"


@pytest.mark.spec("RSVR-02")
@pytest.mark.parametrize(("is_expired", "code"), [(True, "expired"), (False, "login")])
def test_a_bad_token_is_named(is_expired, code):
    refusal = outcomes.unauthorized(REALM, was_token_sent=True, is_expired=is_expired)
    status, issue, _, header = read(refusal)
    assert (status, issue) == (401, code)
    assert header == f'{NAMED}, error="invalid_token", {METADATA}'


@pytest.mark.spec("RSVR-03")
def test_a_denial_says_what_would_be_allowed():
    denied = Deny(403, "scope.covers", "No.", "forbidden", "Ask.", "patient/Observation.s")
    assert read(outcomes.from_deny(denied, REALM)) == (
        403,
        "forbidden",
        "No. Ask.",
        f'{NAMED}, error="insufficient_scope", scope="patient/Observation.s", {METADATA}',
    )


@pytest.mark.parametrize(
    ("status", "error"), [(401, "invalid_token"), (403, "insufficient_scope"), (400, None)]
)
def test_denials_by_status(status, error):
    denied = Deny(status, "a.rule", "No.", "forbidden")
    shown = f'{NAMED}, error="{error}", {METADATA}' if error else None
    assert read(outcomes.from_deny(denied, REALM)) == (status, "forbidden", "No.", shown)


def test_bad_requests():
    error = BadRequest(405, "not-supported", "No.", allow=("GET", "HEAD"))
    refusal = outcomes.from_bad_request(error, REALM)
    assert read(refusal) == (405, "not-supported", "No.", None)
    assert dict(refusal.headers)["allow"] == "GET, HEAD"
    error = BadRequest(400, "invalid", "No.", is_token_misuse=True)
    header = read(outcomes.from_bad_request(error, REALM))[3]
    assert header == f'{NAMED}, error="invalid_request", {METADATA}'


@pytest.mark.parametrize(
    ("refusal", "status", "issue"),
    [
        (outcomes.not_found(), 404, "not-found"),
        (outcomes.bad_gateway(), 502, "transient"),
        (outcomes.gateway_timeout(), 504, "timeout"),
        (outcomes.unavailable(5), 503, "transient"),
        (outcomes.throttled(7), 429, "throttled"),
    ],
)
def test_fixed_answers(refusal, status, issue):
    assert read(refusal)[:2] == (status, issue)


def test_retry_after():
    assert dict(outcomes.throttled(7).headers)["retry-after"] == "7"
    assert dict(outcomes.unavailable(5).headers)["retry-after"] == "5"


def test_header_values_cannot_be_broken_out_of():
    value = outcomes.challenge(Realm('a"b\\c\r\nX: y\u00e9', ""))
    assert value == 'Bearer realm="a\\"b\\\\c??X: y?"'
