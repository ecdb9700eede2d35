"""Judges an answer by what stands in the records and in the token, and by nothing of the product's.

It knows three things: whose each version of each resource is, what a scope's letters and limits
mean, and which words no answer may hold. Nothing of `smart` is imported here.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from tests.attack.bearers import Bearer
from tests.attack.records import CANARIES, FOREIGN, FOREIGN_IDS, MENTIONED, NOBODY, OWN, VERSION_OF

#: What the gateway may ever answer; 500 is not among it.
STATUSES: Final = frozenset(
    {
        *(200, 201, 204, 400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 414, 415, 422, 429),
        *(431, 502, 503, 504),
    }
)
ISSUES: Final = {
    400: {"invalid", "not-supported", "structure", "too-long", "incomplete", "required"},
    401: {"login", "expired"},
    403: {"forbidden", "not-supported", "too-costly"},
    404: {"not-found"},
    405: {"not-supported"},
    406: {"not-supported"},
    410: {"deleted"},
    412: {"conflict"},
    413: {"too-long"},
    415: {"not-supported"},
    502: {"transient"},
}
#: Without a patient of their own, and open to everyone who was granted them.
_SHARED: Final = frozenset(
    {"Location", "Medication", "Organization", "Practitioner", "PractitionerRole"}
)
_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_IDS: Final = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(sorted(FOREIGN_IDS, key=len, reverse=True))})(?![A-Za-z0-9])"
)


@dataclass(frozen=True)
class Request:
    """What was sent, as far as judging needs it; `bearer` is None without a good token."""

    method: str
    target: str
    bearer: Bearer | None
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""

    @property
    def text(self) -> str:
        """All of it, also as a reader who decodes it twice would see it."""
        pairs = " ".join(
            f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in self.headers
        )
        whole = f"{self.target} {pairs} {self.body[:20_000].decode('utf-8', 'replace')}"
        return f"{whole} {unquote(whole)} {unquote(unquote(whole))}"


@dataclass(frozen=True)
class Event:
    """One event of the trail."""

    code: str
    outcome: str
    patient: str


@dataclass(frozen=True)
class Answer:
    """What came back, with the events that the request left."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    events: Sequence[Event]

    @property
    def text(self) -> str:
        lines = "\n".join(
            f"{name.decode()}: {value.decode('latin-1')}" for name, value in self.headers
        )
        return f"{lines}\n{self.body.decode('utf-8', 'replace')}"

    def header(self, name: str) -> str:
        return next((v.decode() for n, v in self.headers if n.decode().lower() == name), "")


@dataclass
class World:
    """The address behind, and resources that came to be since the records were written."""

    address: str
    made: dict[tuple[str, str], str] = field(default_factory=dict)

    def written(self, resource: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Whose this version is (None: it was never written), and all that is in it.

        An answer may leave elements out that a limit hangs on.
        """
        kind, number = str(resource.get("resourceType")), str(resource.get("id"))
        if (kind, number) in self.made:
            return self.made[kind, number], resource
        record = VERSION_OF.get((kind, number, resource.get("meta", {}).get("versionId", "1")))
        return (record.owner, record.body) if record else (None, resource)


def judge(world: World, request: Request, answer: Answer) -> None:
    """Raises AssertionError for an answer that must not be."""
    assert answer.status in STATUSES, (answer.status, answer.body[:300])
    _nothing_leaks(world, request, answer)
    _form(request, answer)
    _trail(request, answer)
    for resource, mode in resources(answer):
        _may_leave(world, request, resource, mode)


def resources(answer: Answer) -> Iterator[tuple[dict[str, Any], str]]:
    """Every resource of an answer but what the server says itself, with the letters it needs."""
    if not answer.body or "json" not in answer.header("content-type"):
        return
    whole = json.loads(answer.body)
    if whole.get("resourceType") != "Bundle":
        if whole.get("resourceType") not in (None, "OperationOutcome", "CapabilityStatement"):
            yield whole, "r"
        return
    for entry in whole.get("entry", []):
        found = entry.get("resource")
        if found is None or found["resourceType"] == "OperationOutcome":
            continue
        if whole["type"] == "history":
            yield found, "r"
        else:
            yield found, {"match": "s", "include": "rs"}[entry["search"]["mode"]]


def sees(bearer: Bearer | None, owner: str) -> bool:
    """Whether a bearer may see anything at all of that patient."""
    if bearer is None:
        return False
    return owner == bearer.patient or owner in bearer.reach


def grants(scope: str) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """Level, type, letters and limits of each clinical scope."""
    for word in scope.split():
        level, slash, rest = word.partition("/")
        if not slash or level not in ("patient", "user", "system"):
            continue
        target, _, query = rest.partition("?")
        kind, _, suffix = target.partition(".")
        limits = [(one.partition("=")[0], one.partition("=")[2]) for one in query.split("&") if one]
        yield level, kind, _V1.get(suffix, suffix), limits


def covered(bearer: Bearer, resource: dict[str, Any], owner: str, letters: str) -> bool:
    """Whether scopes of one level give these letters on this resource of that owner."""
    for level in ("patient", "user"):
        own = {bearer.patient} if level == "patient" else bearer.reach
        is_there = bearer.patient is not None if level == "patient" else bool(bearer.person)
        if not (set(owner.split()) <= own if owner != NOBODY else is_there):
            continue
        if all(_covers(bearer, level, resource, letter) for letter in letters):
            return True
    return False


def _covers(bearer: Bearer, level: str, resource: dict[str, Any], letter: str) -> bool:
    return any(
        one == level
        and kind in ("*", resource["resourceType"])
        and letter in suffix
        and all(_meets(resource, name, value) for name, value in limits)
        for one, kind, suffix, limits in grants(bearer.scope)
    )


def _meets(resource: dict[str, Any], name: str, value: str) -> bool:
    """A limit by category (`system|code` or `code`) or by status."""
    if name == "status":
        return bool(resource.get("status") == value)
    codings = [coding for one in resource.get("category", []) for coding in one.get("coding", [])]
    system, bar, code = value.rpartition("|")
    return any(
        one.get("code") == code and (not bar or one.get("system") == system) for one in codings
    )


def _may_leave(world: World, request: Request, resource: dict[str, Any], letters: str) -> None:
    name = f"{resource.get('resourceType')}/{resource.get('id')}"
    owner, resource = world.written(resource)
    bearer = request.bearer
    assert bearer is not None, f"{name} left without a token"
    assert owner is not None, f"{name} is nothing that was ever written"
    assert owner != "closed", f"{name} never leaves"
    if name == f"Patient/{OWN}" and bearer.person == "ann" and "fhirUser" in bearer.scope:
        return
    if owner == NOBODY:
        assert resource["resourceType"] in _SHARED, name
    needed = {"POST": "c", "PUT": "u"}.get(request.method, letters)
    if request.method == "POST" and "_search" in request.target:
        needed = letters
    if request.method == "DELETE":
        needed = "d"
    assert covered(bearer, resource, owner, needed), (name, owner, bearer, needed)


def _nothing_leaks(world: World, request: Request, answer: Answer) -> None:
    text = answer.text
    assert world.address not in text, "the address of the server behind"
    if sees(request.bearer, FOREIGN):
        return
    lower = text.lower().encode()
    for canary in CANARIES:
        assert canary not in lower, f"{canary!r} of a record of Bob's"
    known = MENTIONED if sees(request.bearer, OWN) else frozenset()
    told = set(_IDS.findall(unquote(text))) - known
    asked = request.text
    news = {one for one in told if one not in asked}
    assert not news, f"ids of Bob's that were not in the request: {news}"


def _form(request: Request, answer: Answer) -> None:
    """OperationOutcome and `no-store` on every refusal (rule c, G50)."""
    if answer.status >= 400 and request.method != "HEAD":
        body = json.loads(answer.body)
        assert body["resourceType"] == "OperationOutcome", body
        (issue,) = body["issue"]
        assert issue["code"] in ISSUES.get(answer.status, {issue["code"]}), (answer.status, issue)
    if (
        request.method == "OPTIONS"
        or "metadata" in request.target
        or ".well-known" in request.target
    ):
        return
    assert answer.header("cache-control") == "no-store"
    assert "Authorization" in answer.header("vary")
    assert answer.header("x-content-type-options") == "nosniff"
    assert not answer.header("set-cookie")
    challenge = answer.header("www-authenticate")
    if answer.status == 401:
        assert challenge.startswith("Bearer realm=")
    if answer.status == 403 and b"too-costly" not in answer.body:
        assert 'error="insufficient_scope"' in challenge


def _trail(request: Request, answer: Answer) -> None:
    """One event for each patient concerned, all alike; a write that was made also its intent."""
    events = list(answer.events)
    if request.bearer is None:
        return
    assert events or request.method == "OPTIONS" or "metadata" in request.target, "no event"
    if any(one.code == "fhir.intent" for one in events):
        intent, outcome = events
        assert (intent.outcome, outcome.patient) == ("success", intent.patient)
        assert outcome.code in ("fhir.create.allow", "fhir.update.allow", "fhir.delete.allow")
        assert outcome.outcome == ("success" if answer.status < 300 else "failure")
        return
    assert len({(one.code, one.outcome) for one in events}) <= 1, events
    patients = [one.patient for one in events]
    assert len(set(patients)) == len(patients), events
    for one in events:
        assert (one.outcome == "success") == (answer.status < 300 or answer.status == 410), events
        assert one.code.endswith(".deny" if one.outcome == "denied" else ".allow"), events
