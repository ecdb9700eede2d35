"""Who may use which clinical scopes, and how freshly signed in (design D5, D10; RSVR-12, SCOP-17).

Pure. A tenant's rules are a list in order; the first whose scopes cover an action decides on it.
Reading needs no rule of its own. Writing does: what no rule covers is not written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from smart.scopes import match
from smart.scopes.match import LeftOut, Narrowed, Reason
from smart.scopes.syntax import (
    ANY_TYPE,
    ClinicalScope,
    Interaction,
    Level,
    Scope,
    clinical_scope,
    parse_scope,
)

#: The letters that change a record.
WRITES: Final = frozenset({Interaction.CREATE, Interaction.UPDATE, Interaction.DELETE})
#: A pattern's level that means each of patient/, user/ and system/.
ANY_LEVEL: Final = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do what `scopes` cover: people with one of `roles`, signed in at least this well.

    `max_age_seconds` is how long ago they may have signed in, 0 for any time.
    """

    name: str
    scopes: tuple[ClinicalScope, ...]
    roles: frozenset[str]
    aal: int = 1
    max_age_seconds: int = 0


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who acts: their roles now, the strength of their sign-in, and how long ago it was."""

    roles: frozenset[str]
    aal: int
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, by `rule`."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """No, by `rule`. `aal` and `max_age_seconds` say which sign-in would do, where one would."""

    rule: str
    reason: str
    aal: int = 0
    max_age_seconds: int = 0

    @property
    def needs_sign_in(self) -> bool:
        """Whether the same person may come back better signed in (RFC 9470 3)."""
        return self.aal > 0


def rule_of(
    name: str, scopes: Iterable[str], roles: Iterable[str], aal: int, max_age_seconds: int
) -> Rule:
    """A rule from its written form; a scope's level may be `*`.

    Types that FHIR R4 does not have match nothing. Raises MalformedScope.
    """
    patterns = tuple(scope for text in scopes for scope in _pattern(text))
    return Rule(name, patterns, frozenset(roles), aal, max_age_seconds)


def evaluate(
    rules: Sequence[Rule], level: Level, resource_type: str, letter: Interaction, who: SignIn
) -> Allowed | Refused:
    """May this person do that, as far as role and sign-in go?"""
    rule = _first(rules, level, resource_type, letter)
    if rule is None:
        if letter in WRITES:
            return Refused("scope-rules", f"No rule lets anybody write {resource_type}.")
        return Allowed("scope-rules", "Reading needs no rule of its own.")
    named = f"scope-rules.{rule.name}"
    if not rule.roles & who.roles:
        return Refused(named, f"This needs a role: {', '.join(sorted(rule.roles))}.")
    is_old = rule.max_age_seconds > 0 and (
        who.age_seconds is None or who.age_seconds > rule.max_age_seconds
    )
    if who.aal < rule.aal or is_old:
        return Refused(named, _sign_in_text(rule), max(rule.aal, 1), rule.max_age_seconds)
    return Allowed(named, f"{', '.join(sorted(rule.roles & who.roles))} may do this.")


def within_roles(scopes: Iterable[Scope], rules: Sequence[Rule], roles: frozenset[str]) -> Narrowed:
    """The scopes that people with these roles can use; the rest is left out as `role` (D5).

    A wildcard stays whole where the rule for all types lets them: single types that a rule before
    it withholds are refused at each use. Otherwise the types that a rule names take its place.
    """
    granted: list[Scope] = []
    left_out = []
    for scope in scopes:
        pieces = _usable(scope, rules, roles) if isinstance(scope, ClinicalScope) else [scope]
        granted += [piece for piece in pieces if piece not in granted]
        if pieces != [scope]:
            left_out.append(LeftOut(scope, Reason.ROLE))
    return Narrowed(tuple(granted), tuple(left_out))


def _pattern(text: str) -> list[ClinicalScope]:
    level, slash, rest = text.partition("/")
    levels = [str(one) for one in Level] if level == ANY_LEVEL and slash else [level]
    scopes = (parse_scope(f"{one}/{rest}") for one in levels)
    return [scope for scope in scopes if isinstance(scope, ClinicalScope)]


def _first(
    rules: Sequence[Rule], level: Level, resource_type: str, letter: Interaction
) -> Rule | None:
    return next(
        (rule for rule in rules if match.covers(rule.scopes, resource_type, letter, level)), None
    )


def _sign_in_text(rule: Rule) -> str:
    factors = " with a second factor" if rule.aal > 1 else ""
    when = f" within {rule.max_age_seconds} seconds before" if rule.max_age_seconds else ""
    return f"This needs a sign-in{factors}{when}."


def _usable(scope: ClinicalScope, rules: Sequence[Rule], roles: frozenset[str]) -> list[Scope]:
    """The scope itself where all of it is usable, else its usable parts."""
    kept = frozenset(
        letter
        for letter in scope.interactions
        if _lets(_first(rules, scope.level, scope.resource_type, letter), letter, roles)
    )
    if kept == scope.interactions:
        return [scope]
    pieces: list[Scope] = []
    if kept:
        pieces.append(_part(scope, scope.resource_type, kept))
    if scope.resource_type == ANY_TYPE:
        pieces += _named_types(scope, scope.interactions - kept, rules, roles)
    return pieces


def _lets(rule: Rule | None, letter: Interaction, roles: frozenset[str]) -> bool:
    return letter not in WRITES if rule is None else bool(rule.roles & roles)


def _named_types(
    scope: ClinicalScope,
    wanted: frozenset[Interaction],
    rules: Sequence[Rule],
    roles: frozenset[str],
) -> list[Scope]:
    """For each type that some rule names: the wanted letters that these roles have on it."""
    types = dict.fromkeys(one.resource_type for rule in rules for one in rule.scopes)
    parts: list[Scope] = []
    for resource_type in types:
        kept = frozenset(
            letter
            for letter in wanted
            if resource_type != ANY_TYPE
            and _lets(_first(rules, scope.level, resource_type, letter), letter, roles)
        )
        if kept:
            parts.append(_part(scope, resource_type, kept))
    return parts


def _part(scope: ClinicalScope, resource_type: str, kept: frozenset[Interaction]) -> ClinicalScope:
    return clinical_scope(scope.level, resource_type, kept, scope.constraints, like_v1=scope.is_v1)
