"""`_include` and `_revinclude`: which are let through, and what they may bring (G4, RSVR-08).

FHIR R4 search 3.1.1.5.4. An include names one reference parameter. What it brings is judged like
everything else, by scopes that give both reading and searching on its type; an include that could
bring nothing this token may see is not sent, and the answer says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from smart.policy.compartment import READ_LIST, TABLE
from smart.policy.facts import AnyOf, Deny, Facts
from smart.policy.request import SearchParameter
from smart.policy.search_parameters import find
from smart.scopes import match
from smart.scopes.syntax import Interaction, Level, Scope

NAMES: Final = ("_include", "_revinclude")
#: Types that can leave at all.
_REACHABLE: Final = frozenset(TABLE) | READ_LIST


@dataclass(frozen=True, slots=True)
class Include:
    """`Source:parameter[:Target]`, the value of one include."""

    source: str
    parameter: str
    target: str | None


def parse(text: str) -> Include:
    """The include of a value of proper form."""
    source, _, rest = text.partition(":")
    parameter, _, target = rest.partition(":")
    return Include(source, parameter, target or None)


def included_of(facts: Facts) -> tuple[SearchParameter, ...]:
    """The includes of a request, in order."""
    if not facts.request.parameters:
        return ()
    return tuple(one for name in NAMES for one in facts.request.named(name))


def includes_are_bounded(facts: Facts) -> Deny | None:
    """403 for includes of everything and for those that go on from what was included (G4)."""
    for one in included_of(facts):
        if one.modifier is not None or "*" in one.text:
            return Deny(
                403,
                "include.unbounded",
                f"{one.key}={one.text} reaches further than can be judged.",
                "forbidden",
                "Name one reference at a time: [Type]:[parameter].",
            )
    return None


def includes_are_listed(facts: Facts) -> Deny | None:
    """400 for includes that do not fit the search or that the server behind does not list."""
    for one in included_of(facts):
        include = parse(one.text)
        if not fits(one.name, include, facts.request.resource_type or ""):
            reason = f"{one.name}={one.text} does not fit a search of {facts.request.resource_type}"
        elif not _is_listed(facts, one.name, include):
            reason = f"The FHIR server behind this one does not offer {one.name}={one.text}"
        else:
            continue
        return Deny(400, "include.listed", f"{reason}.", "not-supported", _offered(facts, one.name))
    return None


def types_of(name: str, include: Include) -> frozenset[str]:
    """The types that an include can bring."""
    if name == "_revinclude":
        return frozenset({include.source}) & _REACHABLE
    if include.target is not None:
        return frozenset({include.target}) & _REACHABLE
    definition = find(include.source, include.parameter)
    targets = definition.target if definition else frozenset[str]()
    return _REACHABLE if "*" in targets else targets & _REACHABLE


def admitting(scopes: Iterable[Scope], resource_type: str, level: Level) -> tuple[AnyOf, ...]:
    """The scopes that must admit an included resource: one that reads, and one that searches.

    Empty where the type is not granted for both.
    """
    reading = match.covering(scopes, resource_type, Interaction.READ, level)
    searching = match.covering(scopes, resource_type, Interaction.SEARCH, level)
    if not reading or not searching:
        return ()
    return (reading,) if reading == searching else (reading, searching)


def granted(facts: Facts, types: Iterable[str], level: Level) -> dict[str, tuple[AnyOf, ...]]:
    """Of these types those that a level of scopes lets an include bring."""
    found = {one: admitting(facts.scopes, one, level) for one in types}
    return {name: scopes for name, scopes in found.items() if scopes}


def fits(name: str, include: Include, resource_type: str) -> bool:
    """Whether an include of that name means something in a search of the type."""
    definition = find(include.source, include.parameter)
    if definition is None or definition.type != "reference":
        return False
    if name == "_include":
        may_name = include.target is None or definition.may_name(include.target)
        return include.source == resource_type and may_name
    return include.target in (None, resource_type) and definition.may_name(resource_type)


def _listed(facts: Facts, name: str) -> frozenset[str]:
    return facts.served.includes if name == "_include" else facts.served.revincludes


def _is_listed(facts: Facts, name: str, include: Include) -> bool:
    """Servers list `Type:parameter`, some with the target or with a dot, some all by a star."""
    plain = f"{include.source}:{include.parameter}"
    spellings = {plain, plain.replace(":", "."), f"{plain}:{include.target}", "*"}
    return not spellings.isdisjoint(_listed(facts, name))


def _offered(facts: Facts, name: str) -> str:
    listed = sorted(one for one in _listed(facts, name) if one != "*")
    return f"It has: {', '.join(listed)}." if listed else ""
