"""What a resource to be written refers to is looked up first (security-checklist G13, G25, G47).

One read for each resource that is newly named, at most `named_resources.MOST` of them. Absent,
another patient's and unreadable are refused in the same words.
"""

import asyncio
from typing import Final

from smart import access
from smart.access import Person
from smart.gateway import budget, outcomes, write_upstream
from smart.gateway.write_attempt import Attempt, RefusedError
from smart.gateway.write_body import Written
from smart.gateway.write_upstream import Current
from smart.policy import named_resources
from smart.policy.compartment import needed_patients
from smart.policy.facts import Deny
from smart.policy.references import Bases, Key
from smart.policy.request import FhirInteraction, FhirRequest
from smart.scopes.syntax import ClinicalScope, Level
from smart.upstream import Upstream

_UNREADABLE: Final = Deny(
    403,
    "write.reference",
    "The resource refers to another one that this token cannot read in this patient's record.",
    "forbidden",
)
_TOO_MANY: Final = Deny(
    422,
    "write.reference",
    f"A write may newly refer to at most {named_resources.MOST} resources of a record.",
    "too-costly",
)


async def check(
    attempt: Attempt,
    person: Person | None,
    server: Upstream,
    patient: str,
    bases: Bases,
    written: Written,
    before: Current | None,
) -> None:
    """Nothing, where a resource of this patient's may refer to all that it names.

    Raises RefusedError, UpstreamError, UpstreamFault, BusyError, OverloadedError.
    """
    standing = before.resource if before else None
    keys = named_resources.newly_named(written.resource, standing, bases)
    if patient == attempt.token.patient:
        keys -= {("Encounter", attempt.token.encounter or "")}  # the launch told the app of it
    if not keys:
        return
    if len(keys) > named_resources.MOST:
        raise _refused(attempt, _TOO_MANY)
    levels = await _levels(attempt, person, patient)
    looking = (_looked_up(attempt, server, key, patient, levels, bases) for key in sorted(keys))
    owners = await asyncio.gather(*looking)
    if bad := [one for one in owners if one is not None]:
        raise _refused(attempt, _UNREADABLE, frozenset().union(*bad))


async def _looked_up(
    attempt: Attempt,
    server: Upstream,
    key: Key,
    patient: str,
    levels: frozenset[Level],
    bases: Bases,
) -> frozenset[str] | None:
    """None where it may be named; else the patients it is about, whose trails tell of it (A3)."""
    request = FhirRequest(FhirInteraction.READ, *key)
    with budget.lease() as lease:
        found = await write_upstream.current(server, request, lease)
    target = found.resource if found else None
    if named_resources.may_be_named(target, patient, attempt.token.scopes, levels, bases):
        return None
    return (needed_patients(target, bases) if target else None) or frozenset()


async def _levels(attempt: Attempt, person: Person | None, patient: str) -> frozenset[Level]:
    """The levels at which the token's scopes reach this record (D16)."""
    token = attempt.token
    levels = {Level.PATIENT} if patient == token.patient else set()
    has_user = any(isinstance(s, ClinicalScope) and s.level is Level.USER for s in token.scopes)
    if has_user and person is not None:
        vouched = token.vouched
        verdicts = await access.openable(attempt.tenant, person, [patient], vouched=vouched)
        levels |= {Level.USER} if verdicts[patient].allowed else set()
    return frozenset(levels)


def _refused(attempt: Attempt, deny: Deny, patients: frozenset[str] = frozenset()) -> RefusedError:
    answer = outcomes.from_deny(deny, attempt.realm)
    return RefusedError(answer, deny.rule, deny.reason, patients=patients)
