"""SMART scopes as values: parse, format, write as URI. SMART App Launch 2.2.0, scopes page.

The grammar is the v2 one with query constraints (SCOP-01 to SCOP-24, GRAN-01), the v1 suffixes
`.read`, `.write` and `.*` (SCOP-08), context scopes (CTXT-11), the named scopes of OpenID
Connect and SMART, and this server's management scopes. Three outcomes: a known scope, a
well-formed `UnknownScope` (left out of a grant), or `MalformedScope` (refused, SCOP-11).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from smart.scopes.resource_types import BY_LOWER_CASE, RESOURCE_TYPES

ANY_TYPE: Final = "*"

#: Characters in one scope; far more than any real one, little enough to keep in caches.
MAX_SCOPE_LENGTH: Final = 2000

SMART_URI_PREFIX: Final = "http://smarthealthit.org/fhir/scopes/"
OPENID_URI_PREFIX: Final = "http://openid.net/specs/openid-connect-core-1_0#"

OPENID_SCOPES: Final = frozenset({"openid", "profile", "offline_access"})
SMART_NAMED_SCOPES: Final = frozenset({"fhirUser", "online_access"})
#: Asking about any token of the tenant (INTR-10), named as SCOP-22 wants it.
INTROSPECTION_SCOPE: Final = "__introspection"
MANAGEMENT_SCOPES: Final = frozenset(
    {
        "authfi/tenants",
        "authfi/users",
        "authfi/apps",
        "authfi/launch",
        "authfi/audit.read",
        "authfi/consents",
        "authfi/sessions",
        INTROSPECTION_SCOPE,
    }
)
NAMED_SCOPES: Final = OPENID_SCOPES | SMART_NAMED_SCOPES | MANAGEMENT_SCOPES


class Level(StrEnum):
    """Whose data: the patient in context, what the user may see, what the app was given."""

    PATIENT = "patient"
    USER = "user"
    SYSTEM = "system"


class Interaction(StrEnum):
    """The five letters of a v2 suffix, in the only order the grammar allows."""

    CREATE = "c"
    READ = "r"
    UPDATE = "u"
    DELETE = "d"
    SEARCH = "s"


V1_SUFFIXES: Final = {
    "read": frozenset({Interaction.READ, Interaction.SEARCH}),
    "write": frozenset({Interaction.CREATE, Interaction.UPDATE, Interaction.DELETE}),
    "*": frozenset(Interaction),
}

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 3.3
_CLINICAL_START = re.compile(r"(?:patient|user|system)/")
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_V2_SUFFIX = re.compile(r"c?r?u?d?s?")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")


class MalformedScope(ValueError):  # noqa: N818
    """A scope that breaks the grammar; answered with `invalid_scope` (SCOP-11).

    `text` is what was sent, `problem` says in plain words what is wrong with it.
    """

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"{problem}: {text!r}")
        self.text = text
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Constraint:
    """One `parameter=value` of a granular scope, both exactly as requested (GRAN-06).

    `parameter` may carry a modifier or chain (`code:in`), which no rule here supports.
    """

    parameter: str
    value: str

    @property
    def decoded(self) -> str:
        """The value with percent-encoding removed; FHIR's own backslash escapes stay.

        A plus sign stays a plus sign, since codes such as `application/fhir+json` have one.
        """
        return unquote(self.value, errors="strict")

    def __str__(self) -> str:
        return f"{self.parameter}={self.value}"


@dataclass(frozen=True, slots=True)
class ClinicalScope:
    """`patient/Observation.rs?category=...` taken apart; `resource_type` may be `*`.

    Equal means equal spelling (`text` decides the other fields): `.read` is not equal to `.rs`,
    because a grant is repeated string by string (REFR-06). For meaning, see `match.is_within`.
    """

    level: Level
    resource_type: str
    interactions: frozenset[Interaction]
    constraints: tuple[Constraint, ...]
    text: str

    @property
    def is_v1(self) -> bool:
        """Was it spelled `.read`, `.write` or `.*`?"""
        return not self.constraints and self.text.rpartition(".")[2] in V1_SUFFIXES


@dataclass(frozen=True, slots=True)
class ContextScope:
    """`launch`, or `launch/{type}` with an optional role (CTXT-11).

    `resource_type` has FHIR's spelling (`Patient` for `launch/patient`) and is None for plain
    `launch`; `role` is the decoded URI.
    """

    resource_type: str | None
    role: str | None
    text: str


@dataclass(frozen=True, slots=True)
class NamedScope:
    """A scope known by its name alone: `openid`, `offline_access`, `authfi/users`, ..."""

    text: str


@dataclass(frozen=True, slots=True)
class UnknownScope:
    """Well formed, but nothing this server knows: left out of every grant (SCOP-11)."""

    text: str


Scope = ClinicalScope | ContextScope | NamedScope | UnknownScope


def parse_scope(text: str) -> Scope:
    """Parse one scope token (SCOP-01). Raises MalformedScope."""
    if not _SCOPE_TOKEN.fullmatch(text):
        raise MalformedScope(text, "a scope is one or more printable ASCII characters")
    if len(text) > MAX_SCOPE_LENGTH:
        raise MalformedScope(text, f"a scope has at most {MAX_SCOPE_LENGTH} characters")
    if text in NAMED_SCOPES:
        return NamedScope(text)
    if _CLINICAL_START.match(text):
        return _parse_clinical(text)
    return _parse_context(text) or UnknownScope(text)


@lru_cache(maxsize=512)
def parse_scopes(text: str) -> tuple[Scope, ...]:
    """Parse a `scope` parameter (RFC 6749 3.3): order kept, repeated spellings collapsed.

    The empty string has no scopes. Raises MalformedScope, also for a space too many.
    """
    if not text:
        return ()
    parts = dict.fromkeys(text.split(" "))
    if "" in parts:
        raise MalformedScope(text, "scopes are separated by exactly one space")
    return tuple(parse_scope(part) for part in parts)


def format_scopes(scopes: Iterable[Scope]) -> str:
    """The `scope` string of some scopes, each in its own spelling (GRAN-06)."""
    return " ".join(scope.text for scope in scopes)


def clinical_scope(
    level: Level,
    resource_type: str,
    interactions: frozenset[Interaction],
    constraints: tuple[Constraint, ...] = (),
    *,
    like_v1: bool = False,
) -> ClinicalScope:
    """Build a clinical scope from its parts, `interactions` not empty.

    `like_v1` spells it the v1 way where v1 has a word for it (SCOP-10).
    """
    if not interactions:
        raise ValueError("a clinical scope needs at least one interaction")
    suffix = "".join(letter for letter in Interaction if letter in interactions)
    if like_v1 and not constraints:
        suffix = next((word for word, v1 in V1_SUFFIXES.items() if v1 == interactions), suffix)
    query = "?" + "&".join(map(str, constraints)) if constraints else ""
    text = f"{level}/{resource_type}.{suffix}{query}"
    return ClinicalScope(level, resource_type, interactions, constraints, text)


def to_uri(scope: Scope) -> str:
    """A scope written as a URI (SCOP-23).

    Raises ValueError for scopes that have no URI: management scopes and unknown words.
    """
    if isinstance(scope, UnknownScope):
        reserved = scope.text.startswith((SMART_URI_PREFIX, OPENID_URI_PREFIX))
        if reserved or not _ABSOLUTE_URI.fullmatch(scope.text):
            raise ValueError(f"{scope.text!r} has no URI")
        return scope.text
    if scope.text in MANAGEMENT_SCOPES:
        raise ValueError(f"{scope.text!r} has no URI")
    prefix = OPENID_URI_PREFIX if scope.text in OPENID_SCOPES else SMART_URI_PREFIX
    return prefix + scope.text


def _parse_clinical(text: str) -> ClinicalScope | UnknownScope:
    level, _, rest = text.partition("/")
    path, question, query = rest.partition("?")
    target, dot, suffix = path.partition(".")
    if not dot:
        raise MalformedScope(text, "expected a resource type, a dot and interactions")
    if target != ANY_TYPE and not _TYPE_NAME.fullmatch(target):
        raise MalformedScope(text, "the target is neither a resource type name nor *")
    interactions = _parse_suffix(text, suffix)
    constraints = _parse_query(text, query) if question else ()
    if constraints and suffix in V1_SUFFIXES:
        raise MalformedScope(text, "v1 suffixes take no constraints")
    if target != ANY_TYPE and target not in RESOURCE_TYPES:
        return UnknownScope(text)
    return ClinicalScope(Level(level), target, interactions, constraints, text)


def _parse_suffix(text: str, suffix: str) -> frozenset[Interaction]:
    if suffix in V1_SUFFIXES:
        return V1_SUFFIXES[suffix]
    if not suffix or not _V2_SUFFIX.fullmatch(suffix):
        raise MalformedScope(text, "interactions are letters of cruds, once each, in this order")
    return frozenset(Interaction(letter) for letter in suffix)


def _parse_query(text: str, query: str) -> tuple[Constraint, ...]:
    constraints = []
    for part in query.split("&"):
        parameter, _, value = part.partition("=")
        # FHIR search ignores a parameter without a value, so it would not limit anything.
        if not _PARAMETER.fullmatch(parameter) or not value:
            raise MalformedScope(text, "a constraint is a search parameter, = and a value")
        if _BAD_PERCENT.search(value):
            raise MalformedScope(text, "broken percent-encoding")
        constraint = Constraint(parameter, value)
        try:
            decoded = constraint.decoded
        except UnicodeDecodeError:
            raise MalformedScope(text, "percent-encoding is not UTF-8") from None
        if _CONTROL.search(decoded):
            raise MalformedScope(text, "control character in a constraint")
        constraints.append(constraint)
    return tuple(constraints)


def _parse_context(text: str) -> ContextScope | None:
    path, question, query = text.partition("?")
    if path == "launch":
        return None if question else ContextScope(None, None, text)
    resource_type = BY_LOWER_CASE.get(path.removeprefix("launch/"))
    if not path.startswith("launch/") or resource_type is None:
        return None
    if not question:
        return ContextScope(resource_type, None, text)
    role = _parse_role(query)
    return ContextScope(resource_type, role, text) if role else None


def _parse_role(query: str) -> str | None:
    """The one role of a context scope: an absolute URI or the guide's own word `launch`."""
    name, _, value = query.partition("=")
    if name != "role" or "&" in value or _BAD_PERCENT.search(value):
        return None
    role = unquote(value)
    return role if role == "launch" or _ABSOLUTE_URI.fullmatch(role) else None
