"""Refusals of the gateway: OperationOutcome bodies and headers (security-checklist 4, rule c).

FHIR R4 OperationOutcome, RFC 6750 3, RFC 9728 5.1. Every answer here is complete: status, headers
and body. A 404 is byte for byte the same whatever the reason (rule c), as is a 502 (G36).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from smart.policy import acr
from smart.policy.facts import Deny

CONTENT_TYPE: Final = "application/fhir+json; charset=utf-8"
#: When to ask again where this server itself cannot answer.
RETRY_AFTER_SECONDS: Final = 5
#: On every answer that depends on a token (G50, CACH-02).
PRIVATE_HEADERS: Final = (
    ("cache-control", "no-store"),
    ("vary", "Authorization"),
    ("x-content-type-options", "nosniff"),
)


class BadRequest(Exception):  # noqa: N818 - the name of what it answers
    """A request refused before any policy: `status` 400 to 431, `issue` a FHIR issue-type code.

    `allow` lists the methods of a 405. `is_token_misuse` adds RFC 6750's `invalid_request`.
    """

    def __init__(
        self,
        status: int,
        issue: str,
        diagnostics: str,
        *,
        allow: tuple[str, ...] = (),
        is_token_misuse: bool = False,
    ) -> None:
        super().__init__(diagnostics)
        self.status = status
        self.issue = issue
        self.diagnostics = diagnostics
        self.allow = allow
        self.is_token_misuse = is_token_misuse


class UpstreamFault(Exception):  # noqa: N818 - a fault of the server behind, not of this one
    """The upstream's answer cannot be passed on; the app sees a plain 502 (G36)."""


@dataclass(frozen=True, slots=True)
class Realm:
    """The protected resource as `WWW-Authenticate` names it: FHIR base and RFC 9728 metadata."""

    base: str
    metadata: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def operation_outcome(issue: str, diagnostics: str, severity: str = "error") -> dict[str, object]:
    """An OperationOutcome with one issue; `issue` is a FHIR issue-type code."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": issue, "diagnostics": diagnostics}],
    }


def challenge(realm: Realm, error: str | None = None, scope: str | None = None) -> str:
    """The `WWW-Authenticate` value: RFC 6750 3, with RFC 9728's `resource_metadata`."""
    parameters = {
        "realm": realm.base,
        "error": error,
        "scope": scope,
        "resource_metadata": realm.metadata,
    }
    return _bearer(parameters)


def unauthorized(realm: Realm, *, was_token_sent: bool, is_expired: bool = False) -> Answer:
    """401. The error code is shown only when a token was sent (RSVR-02, ERRS-04)."""
    error = "invalid_token" if was_token_sent else None
    issue = "expired" if is_expired else "login"
    text = "The access token is not valid here." if was_token_sent else "An access token is needed."
    return _refusal(401, issue, text, ("www-authenticate", challenge(realm, error)))


def from_deny(denied: Deny, realm: Realm) -> Answer:
    """The answer to a policy refusal; a 403 says which scope would help, if one would."""
    text = f"{denied.reason} {denied.allowed}".strip()
    if denied.status == 401:
        return _refusal(
            401, denied.issue, text, ("www-authenticate", challenge(realm, "invalid_token"))
        )
    if denied.status == 403:
        value = challenge(realm, "insufficient_scope", denied.scope)
        return _refusal(403, denied.issue, text, ("www-authenticate", value))
    return _refusal(denied.status, denied.issue, text)


def from_bad_request(error: BadRequest, realm: Realm) -> Answer:
    """The answer to a request that does not parse."""
    extra = []
    if error.allow:
        extra.append(("allow", ", ".join(error.allow)))
    if error.is_token_misuse:
        extra.append(("www-authenticate", challenge(realm, "invalid_request")))
    return _refusal(error.status, error.issue, error.diagnostics, *extra)


def not_found() -> Answer:
    """404 after looking: absent, someone else's and outside the scope all read the same."""
    return _refusal(404, "not-found", "There is no such resource.")


def gone() -> Answer:
    """410 for a deleted resource whose last version could have been read (G29)."""
    return _refusal(410, "deleted", "The resource was deleted.")


def uncountable() -> Answer:
    """403 for a count that would take looking through too many matches (G15)."""
    return _refusal(403, "too-costly", "There are too many matches to count. Narrow the search.")


def no_such_base() -> Answer:
    """404 for a FHIR base that is not served: no such tenant, or no healthcare module."""
    return _refusal(404, "not-found", "There is no FHIR server at this address.")


def bad_gateway() -> Answer:
    """502 without a word of the upstream's own (G36)."""
    return _refusal(502, "transient", "The FHIR server behind this one did not answer properly.")


def unsupported_search() -> Answer:
    """400 for a search that the upstream does not know, in words of our own (EHR-34)."""
    return _refusal(
        400, "not-supported", "The FHIR server behind this one does not support this search."
    )


def busy_upstream(status: int, retry_after_seconds: int) -> Answer:
    """429 or 503, as the upstream said, with the time it asked for (EHR-35)."""
    issue = "throttled" if status == 429 else "transient"
    text = "The FHIR server behind this one takes no more requests now."
    return _retry(status, issue, text, retry_after_seconds)


def gateway_timeout() -> Answer:
    """504 when the upstream was too slow (V7)."""
    return _refusal(504, "timeout", "The FHIR server behind this one did not answer in time.")


def refused_upstream() -> Answer:
    """422 for a resource that the server behind does not take, in words of our own (G36)."""
    return _refusal(
        422, "processing", "The FHIR server behind this one does not accept this resource."
    )


def unknown_outcome() -> Answer:
    """504 for a write of which nobody can say whether it was made (V9)."""
    text = (
        "The FHIR server behind this one did not say whether the change was made. "
        "Read the record before trying again."
    )
    return _refusal(504, "timeout", text)


def changed_meanwhile() -> Answer:
    """412 for a resource that is of another version than the one to change (RFC 9110 15.5.13)."""
    text = "The resource has changed: read it again, and change that version."
    return _refusal(412, "conflict", text)


def without_versions() -> Answer:
    """409 where the server behind tells no version to hold a change against (G26)."""
    text = "The FHIR server behind this one tells no versions, so nothing is changed there."
    return _refusal(409, "not-supported", text)


def insufficient_authentication(realm: Realm, text: str, aal: int, max_age: int) -> Answer:
    """401 that says which sign-in would do (RFC 9470 3)."""
    parameters = {
        "realm": realm.base,
        "error": "insufficient_user_authentication",
        "error_description": text,
        "acr_values": acr.name_of(aal),
        "max_age": str(max_age) if max_age else "",
        "resource_metadata": realm.metadata,
    }
    return _refusal(401, "login", text, ("www-authenticate", _bearer(parameters)))


def unavailable(retry_after_seconds: int = RETRY_AFTER_SECONDS) -> Answer:
    """503, for instance when the audit trail cannot be written (V8)."""
    return _retry(503, "transient", "The service cannot answer now.", retry_after_seconds)


def throttled(retry_after_seconds: int) -> Answer:
    """429 (V1)."""
    return _retry(429, "throttled", "Too many requests.", retry_after_seconds)


def _retry(status: int, issue: str, text: str, seconds: int) -> Answer:
    return _refusal(status, issue, text, ("retry-after", str(seconds)))


def _refusal(status: int, issue: str, text: str, *extra: tuple[str, str]) -> Answer:
    body = orjson.dumps(operation_outcome(issue, text))
    return Answer(status, (("content-type", CONTENT_TYPE), *PRIVATE_HEADERS, *extra), body)


def _bearer(parameters: Mapping[str, str | None]) -> str:
    shown = (f"{name}={_quoted(value)}" for name, value in parameters.items() if value)
    return f"Bearer {', '.join(shown)}"


def _quoted(value: str) -> str:
    """An RFC 9110 quoted-string; what cannot stand in one becomes a question mark."""
    printable = "".join(char if " " <= char <= "~" else "?" for char in value)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
