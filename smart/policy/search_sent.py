"""The search that is sent to the server behind (security-checklist G2, G14, G42, G47, G52).

Written anew: patients and scopes set, the page clamped, and nothing in it that would have the
server leave out what has to be judged.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from smart.policy import include_rules, owners, shape
from smart.policy.facts import Facts
from smart.policy.levels import Levels
from smart.policy.owners import Whom
from smart.policy.request import FhirRequest, SearchParameter
from smart.policy.search_parameters import find
from smart.policy.search_rules import is_supported
from smart.scopes.syntax import ClinicalScope, Level

#: Largest page asked of the upstream server (G52).
MAX_COUNT: Final = 200
#: Answered by the gateway itself.
_OWN: Final = shape.PARAMETERS | {"_total"}
#: Of no use where only the number of matches is wanted.
_NOT_COUNTED: Final = frozenset({"_include", "_revinclude", "_sort"})


@dataclass(frozen=True, slots=True)
class Sent:
    """`request` is what to ask; `is_nothing`: there is nobody it could be about.

    `limit` is how many matches to show where they are thinned out one by one: their pages are
    then the gateway's own. `left_out` are includes that could bring nothing this token may see.
    """

    request: FhirRequest
    is_nothing: bool = False
    limit: int | None = None
    left_out: tuple[str, ...] = ()


def bounded_search(facts: Facts, levels: Levels) -> Sent:
    """The search to send. Call only when every rule passed."""
    request = facts.request
    is_count = shape.shape_of(request).is_count
    includes = [one for one in include_rules.included_of(facts) if _brings(one, facts)]
    left_out = [one for one in include_rules.included_of(facts) if one not in includes]
    people = _people(facts, levels)
    dropped = _OWN | {"_count"} | (_NOT_COUNTED if is_count else frozenset())
    owning = owners.parameters_of(request)
    kept = [
        _relative(one, facts)
        for one in request.parameters
        if one.name not in dropped and one not in owning and one not in left_out
    ]
    granted = [
        one for one in granted_filter(request, levels.scopes) if is_supported(one.name, facts)
    ]
    is_thinned = people.is_thinned
    size = MAX_COUNT if is_count or is_thinned else _count(request)
    parameters = (*people.parameters, *granted, *kept, SearchParameter("_count", (str(size),)))
    return Sent(
        replace(request, parameters=parameters),
        is_nothing=people.is_nobody,
        limit=_count(request) if is_thinned else None,
        left_out=tuple(f"{one.name}={one.text}" for one in left_out),
    )


def whole_history(request: FhirRequest) -> FhirRequest:
    """The history to ask for: in the largest pages, so that hardly one hides what comes after."""
    size = SearchParameter("_count", (str(MAX_COUNT),))
    return replace(request, parameters=(*request.parameters, size))


def granted_filter(
    request: FhirRequest, scopes: Iterable[ClinicalScope]
) -> tuple[SearchParameter, ...]:
    """What granular scopes have in common, as a filter (GRAN-02).

    The gate judges every resource all the same. But without the filter a page would be cut short
    by records that then do not show, and whether it was would tell that they are there (G15).
    That is the price where the server behind does not know a parameter: it is then not sent.
    """
    granted = list(dict.fromkeys(scope.constraints for scope in scopes))
    if len(granted) == 1:
        found = [SearchParameter(one.parameter, (one.decoded,)) for one in granted[0]]
    else:
        values = [{one.parameter: one.decoded for one in each} for each in granted]
        shared = [name for name in values[0] if all(name in each for each in values)]
        found = [SearchParameter(name, tuple(each[name] for each in values)) for name in shared]
    return tuple(one for one in found if find(request.resource_type or "", one.name))


@dataclass(frozen=True, slots=True)
class _People:
    """Whose records a search asks for, as parameters."""

    parameters: tuple[SearchParameter, ...] = ()
    is_nobody: bool = False
    is_thinned: bool = False


def _people(facts: Facts, levels: Levels) -> _People:
    request, reach = facts.request, levels.reach
    resource_type = request.resource_type or ""
    owning = owners.parameters_of(request)
    if not owners.names_of(resource_type):
        return _People()
    if levels.user_scopes and reach.is_unbounded:
        return _People(tuple(_relative(one, facts) for one in owning))
    own = {levels.patient} if levels.patient_scopes else set()
    theirs = reach.patients if levels.user_scopes else frozenset()
    named = owners.named_by(request, facts.base)
    if any(isinstance(one, str) for one in named):
        return _only(owning, frozenset(one for one in own | theirs if one), facts)
    rest = tuple(_relative(one, facts) for one in owning)
    if levels.user_scopes and resource_type == "Patient":
        return _People(rest, is_thinned=True)
    patient = levels.patient if levels.patient_scopes else reach.own
    return _People((owners.patient_parameter(resource_type, patient or ""), *rest))


def _only(owning: tuple[SearchParameter, ...], allowed: frozenset[str], facts: Facts) -> _People:
    """The owner parameters with the patients that may be asked for.

    Where a value names a group or a device beside them, the patients are set once more, since the
    server behind would find the records of others by it.
    """
    parameters: dict[SearchParameter, None] = {}
    named: dict[str, None] = {}
    is_mixed = False
    for one in owning:
        found = [(value, owners.whom(one, value, facts.base)) for value in one.values]
        kept = [(value, who) for value, who in found if who is Whom.NO_PATIENT or who in allowed]
        if not kept:
            return _People(is_nobody=True)
        patients = dict.fromkeys(who for _, who in kept if isinstance(who, str))
        named |= patients
        if any(who is Whom.NO_PATIENT for _, who in kept):
            is_mixed = True
            values = tuple(value for value, _ in kept)
            parameters[_relative(replace(one, values=values), facts)] = None
        else:
            parameters[_set_to(patients, facts)] = None
    if not named:
        return _People(is_nobody=True)
    set_here = [_set_to(named, facts)] if is_mixed else []
    return _People(tuple(dict.fromkeys([*set_here, *parameters])))


def _set_to(patients: Iterable[str], facts: Facts) -> SearchParameter:
    """The parameter that the gateway sets, naming these patients."""
    resource_type = facts.request.resource_type or ""
    single = [owners.patient_parameter(resource_type, one) for one in patients]
    return replace(single[0], values=tuple(one.text for one in single))


def _brings(parameter: SearchParameter, facts: Facts) -> bool:
    """Whether an include can bring a type that one of the levels lets be included."""
    types = include_rules.types_of(parameter.name, include_rules.parse(parameter.text))
    return any(
        include_rules.admitting(facts.scopes, one, level)
        for one in types
        for level in (Level.PATIENT, Level.USER)
    )


def _count(request: FhirRequest) -> int:
    """The page's size. Without a wish it is the largest: servers' own defaults are small."""
    asked = [int(one.text) for one in request.named("_count")]
    return min(asked[0], MAX_COUNT) if asked else MAX_COUNT


def _relative(parameter: SearchParameter, facts: Facts) -> SearchParameter:
    """References on our own base made relative, as the upstream knows them."""
    definition = find(facts.request.resource_type or "", parameter.name)
    if definition is None or definition.type != "reference":
        return parameter
    prefix = facts.base.rstrip("/") + "/"
    return replace(
        parameter, values=tuple(value.removeprefix(prefix) for value in parameter.values)
    )
