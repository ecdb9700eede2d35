"""Whose record a launch is about, and for whom its page is worded (EHRL-04, STND-02, D16, D17)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from authfi.accounts.models import User
from smart import access
from smart.launch import may_be_launched, own_record
from smart.models import AuthorizationRequest, LaunchContext
from smart.scopes.describe import Reader
from smart.scopes.syntax import Scope
from smart.server import ceiling
from smart.server.errors import AccessDenied


class Choice(StrEnum):
    """What a person chooses where no EHR did."""

    PATIENT = "patient"
    ENCOUNTER = "encounter"


class ToChooseError(Exception):
    """The person must choose first: the picker has the page."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(choice)
        self.choice = choice


@dataclass(frozen=True, slots=True)
class Context:
    """What is in context: bare ids, and the other members of the token response."""

    reader: Reader
    patient: str | None = None
    encounter: str | None = None
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def brought(self) -> frozenset[str]:
        """Types of what the EHR put beside patient and encounter (FCTX-10)."""
        items = self.members.get("fhirContext", [])
        return frozenset(
            item.get("type") or item.get("reference", "").partition("/")[0] for item in items
        )


def settle(user: User, kept: AuthorizationRequest, scopes: Sequence[Scope]) -> Context:
    """The context for this person, of the scopes that can be granted.

    An EHR launch brings its own and is for the person who launched (EHRL-10), a patient's for their
    own record only; `launch/...` scopes are hints to it (EHRL-06). Without one a patient is their
    own patient, and clinicians choose one whom they may open, and a visit (STND-02 to STND-04); who
    asks for neither has none (STND-06). Raises AccessDenied where there can be no context,
    ToChooseError where it is still to be chosen.
    """
    reader = Reader.PATIENT if own_record(user) else Reader.CLINICIAN
    if kept.launch_context is not None:
        return _launched(user, kept.launch_context, reader)
    if not ceiling.wants_patient(scopes):
        return Context(reader)
    patient = _patient(user, kept)
    if not ceiling.wants_encounter(scopes):
        return Context(reader, patient)
    if kept.encounter is None:
        raise ToChooseError(Choice.ENCOUNTER)
    return Context(reader, patient, kept.encounter or None)


def chooses_patient(user: User) -> bool:
    """Does the person choose among patients: not their own only, and not nobody (D16)?"""
    return _treats(access.person_of_user(user))


def has_records(user: User) -> bool:
    """Are there records the person may open: their own, or by a rule (D16, SCOP-15)?"""
    return own_record(user) is not None or chooses_patient(user)


def _launched(user: User, launch: LaunchContext, reader: Reader) -> Context:
    if launch.user_id != user.pk:
        raise AccessDenied("the app was launched by somebody else")
    if not may_be_launched(user, launch.patient):
        raise AccessDenied("the person is neither this patient nor a clinician")
    return Context(reader, launch.patient, launch.encounter, launch.members)


def _patient(user: User, kept: AuthorizationRequest) -> str:
    """The person's own, or the one they chose if they may still open the record."""
    if own := own_record(user):
        return own
    person = access.person_of_user(user)
    if not _treats(person):
        raise AccessDenied("the person is neither a patient nor a clinician")
    if kept.patient is None:
        raise ToChooseError(Choice.PATIENT)
    patient = str(kept.patient)
    verdict = access.openable_sync(person, [patient])[patient]
    if not verdict.allowed:
        raise AccessDenied("the person may not open the record of this patient")
    return patient


def _treats(person: access.Person) -> bool:
    return access.own_patient(person) is None and bool(access.rules_of(person))
