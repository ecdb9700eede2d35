"""Judging what comes back, resource by resource, before any byte leaves (security-checklist 4).

Rule b, G11-G13, G28, G42, G47. A resource passes when it is of a type that may leave, is about
nobody whose record is not open, and matches one of the scopes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from smart.gateway import strict_json
from smart.gateway.bundles import Entry
from smart.gateway.outcomes import UpstreamFault
from smart.policy.compartment import (
    Known,
    contains_nobody_else,
    needed_patients,
)
from smart.policy.facts import Access, UserAccess
from smart.policy.references import Key, is_id
from smart.scopes import match

_NONE_KNOWN: Final[Known] = {}
_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry that may leave. `patients` are those it is about, told at the `user/` level only."""

    key: Key
    entry: Entry
    is_included: bool
    patients: frozenset[str] = _NOBODY


def judge(
    resource: object, access: Access, known: Known = _NONE_KNOWN, *, is_included: bool = False
) -> bool:
    """Whether a parsed resource may leave: at one of the levels it has to be in reach, and to
    match the scopes of that level.

    `known` are the other resources of the answer with the patients they are about, for Provenance
    and Binary (see `compartment.subjects_of`). `is_included` marks what an include brought.
    """
    if not _is_asked_for(resource, access):
        return False
    if access.is_own_user:
        return contains_nobody_else(resource, access.patient, access.bases)
    patients = needed_patients(resource, access.bases, known)
    if patients is None:
        return False
    if patients <= {access.patient} and _admits(access, resource, is_included):
        return True
    user = access.user
    return user is not None and user.reach.opens(patients) and _admits(user, resource, is_included)


def patients_of(
    resources: Iterable[object], access: Access, known: Known = _NONE_KNOWN
) -> frozenset[str]:
    """All patients that these resources are about, for asking whether they are in reach."""
    found: set[str] = set()
    for one in resources:
        if isinstance(one, dict) and is_id(one.get("id")):
            found |= needed_patients(one, access.bases, known) or _NOBODY
    return frozenset(found)


def sift(entries: Sequence[Entry], access: Access, known: Known = _NONE_KNOWN) -> list[Kept]:
    """The entries that may leave, in order. `known` as in `judge`."""
    kept = []
    for entry in entries:
        resource = entry.resource
        is_included = entry.is_included or _type_of(resource) not in access.scopes
        if not judge(resource, access, known, is_included=is_included):
            continue
        patients = _NOBODY
        if access.user is not None:
            patients = needed_patients(resource, access.bases, known) or _NOBODY
        kept.append(Kept((resource["resourceType"], resource["id"]), entry, is_included, patients))
    return kept


def known_of(resources: Iterable[object], access: Access) -> Known:
    """The patients of an answer's resources, by their type and id."""
    found = [one for one in resources if isinstance(one, dict) and is_id(one.get("id"))]
    patients = {(_type_of(one), one["id"]): needed_patients(one, access.bases) for one in found}
    return {key: needed for key, needed in patients.items() if needed}


def open_resource(body: bytes) -> Any:
    """The parsed resource of a read. Raises UpstreamFault for what is no clean JSON (G22)."""
    try:
        return strict_json.loads(body)
    except ValueError:
        raise UpstreamFault("the answer is not valid JSON") from None


def _is_asked_for(resource: object, access: Access) -> TypeGuard[dict[str, Any]]:
    if not isinstance(resource, dict) or not is_id(resource.get("id")):
        return False
    resource_type = resource.get("resourceType")
    if not isinstance(resource_type, str):
        return False
    return access.only is None or (resource_type, resource["id"]) == access.only


def _type_of(resource: object) -> str:
    return str(resource.get("resourceType")) if isinstance(resource, dict) else ""


def _admits(level: Access | UserAccess, resource: dict[str, Any], is_included: bool) -> bool:
    resource_type = resource["resourceType"]
    if is_included:
        sets = level.included.get(resource_type, ())
        return bool(sets) and all(match.admits_any(scopes, resource) for scopes in sets)
    return match.admits_any(level.scopes.get(resource_type, ()), resource)
