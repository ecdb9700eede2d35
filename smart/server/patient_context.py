"""Whose record a launch is about, and for whom its page is worded (EHRL-04, STND-02, D16, D17)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from authfi.accounts.models import User
from smart.launch import may_be_launched, own_record
from smart.models import LaunchContext
from smart.scopes.describe import Reader
from smart.scopes.syntax import Scope
from smart.server import ceiling
from smart.server.errors import AccessDenied


@dataclass(frozen=True, slots=True)
class Context:
    """What is in context: bare ids, and the other members of the token response."""

    reader: Reader
    patient: str | None = None
    encounter: str | None = None
    members: Mapping[str, Any] = field(default_factory=dict)


def settle(user: User, launch: LaunchContext | None, scopes: Sequence[Scope]) -> Context:
    """The context for this person. Raises AccessDenied where there can be none.

    An EHR launch brings its own and is for the person who launched (EHRL-10), a patient's for their
    own record only. Without one a patient is their own patient; there is nobody else they could
    choose (STND-02).
    """
    own = own_record(user)
    reader = Reader.PATIENT if own else Reader.CLINICIAN
    if launch is not None:
        if launch.user_id != user.pk:
            raise AccessDenied("the app was launched by somebody else")
        if not may_be_launched(user, launch.patient):
            raise AccessDenied("the person is neither this patient nor a clinician")
        return Context(reader, launch.patient, launch.encounter, launch.members)
    if not ceiling.wants_patient(scopes):
        return Context(reader)
    if own is None:
        raise AccessDenied("choose a patient in the EHR and start the app there")
    return Context(reader, own)
