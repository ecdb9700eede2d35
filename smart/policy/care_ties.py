"""What a CareTeam, Encounter or Patient says of who treats a patient (design D16). Pure.

A server may answer wider than it was asked, so each resource is read for what it says itself.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from smart.policy.clinician_access import Tie
from smart.policy.references import Bases, Key, is_id

#: Encounter.status of a visit that is being planned or goes on (FHIR R4 8.11.3).
CURRENT: Final = frozenset({"planned", "arrived", "triaged", "in-progress", "onleave"})
#: Those of a visit that never was.
_VOID: Final = frozenset({"cancelled", "entered-in-error"})

_DATE_TIME: Final = re.compile(r"\d{4}(-\d\d(-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII)

Resource = Mapping[str, Any]


def tie_of(resource: Resource, who: Key, bases: Bases, now: datetime) -> tuple[str, Tie] | None:
    """The patient and the tie to the practitioner `who`, if the resource shows one."""
    kind = resource.get("resourceType")
    if kind == "CareTeam":
        return _with_subject(resource, _of_care_team(resource, who, bases, now), bases)
    if kind == "Encounter":
        return _with_subject(resource, _of_encounter(resource, who, bases), bases)
    if kind == "Patient" and is_id(resource.get("id")):
        named = _names(resource.get("generalPractitioner"), who, bases)
        return (str(resource["id"]), Tie.GENERAL_PRACTITIONER) if named else None
    return None


def _of_care_team(team: Resource, who: Key, bases: Bases, now: datetime) -> Tie | None:
    if team.get("status") != "active" or not _is_open(team.get("period"), now):
        return None
    is_member = any(
        _names([member.get("member")], who, bases) and _is_open(member.get("period"), now)
        for member in _objects(team.get("participant"))
    )
    return Tie.CARE_TEAM if is_member else None


def _of_encounter(visit: Resource, who: Key, bases: Bases) -> Tie | None:
    status = visit.get("status")
    if not isinstance(status, str) or status in _VOID:
        return None
    took_part = any(
        _names([one.get("individual")], who, bases) for one in _objects(visit.get("participant"))
    )
    if not took_part:
        return None
    return Tie.CURRENT_ENCOUNTER if status in CURRENT else Tie.ENCOUNTER


def _with_subject(resource: Resource, tie: Tie | None, bases: Bases) -> tuple[str, Tie] | None:
    if tie is None:
        return None
    found = _key(resource.get("subject"), bases)
    return (found[1], tie) if found and found[0] == "Patient" else None


def _names(references: object, who: Key, bases: Bases) -> bool:
    return any(_key(one, bases) == who for one in _objects(references))


def _key(reference: object, bases: Bases) -> Key | None:
    literal = reference.get("reference") if isinstance(reference, Mapping) else None
    return bases.resolve(literal) if isinstance(literal, str) else None


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, Mapping))


def _is_open(period: object, now: datetime) -> bool:
    """Has the period begun and not ended? One without dates goes on; one that is odd does not."""
    if period is None:
        return True
    if not isinstance(period, Mapping):
        return False
    start, end = period.get("start"), period.get("end")
    has_begun = start is None or _compared(start, now) in ("before", "same")
    has_not_ended = end is None or _compared(end, now) in ("same", "after")
    return has_begun and has_not_ended


def _compared(text: object, now: datetime) -> str:
    """Where a FHIR dateTime lies; a year, month or day is the `same` while it lasts."""
    if not isinstance(text, str) or not _DATE_TIME.fullmatch(text):
        return "unknown"
    if "T" not in text:
        today = now.date().isoformat()[: len(text)]
        return "same" if text == today else "before" if text < today else "after"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "unknown"
    return "before" if (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) < now else "after"
