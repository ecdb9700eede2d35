"""A patient whom a person picked stays open while their rule opens them (design D16; REFR-19).

Only an EHR launch vouches for its patient as long as its grant lives. Of all others the rule is
asked again at each refresh, and where it says no the grant ends, since its patient is what it is
for (D3).
"""

from typing import Final

from audit import events
from authfi.accounts.models import User
from authfi.lib import tenancy
from smart import access, grants, launch
from smart.models import Grant
from smart.policy.clinician_access import Verdict
from smart.server.endpoint import ToAskError, Told
from smart.server.errors import InvalidGrant, TemporarilyUnavailable

_UNTOLD: Final = Verdict(False, "none", "Nobody was asked.", is_certain=False)


def check(grant: Grant, told: Told | None) -> None:
    """Nothing, where the grant's patient is still open to its person.

    It takes no statement where an EHR vouched or the record is their own. Raises InvalidGrant, the
    grant being ended; ToAskError where the FHIR server has to say; TemporarilyUnavailable where it
    was `told` that this cannot be known now: then the grant stays, and gives nothing.
    """
    user, patient = grant.user, grant.patient
    if user is None or patient is None or grant.context.get(grants.LAUNCHED):
        return
    if launch.own_record(user) == patient:
        return
    verdict = _verdict(user, patient, told)
    if verdict.allowed:
        return
    if not verdict.is_certain:
        raise TemporarilyUnavailable("the FHIR server does not say whose patient it is")
    _end(grant)
    raise InvalidGrant("the person may no longer open the record of this patient")


def _verdict(user: User, patient: str, told: Told | None) -> Verdict:
    if told is not None:
        return told.get(patient, _UNTOLD)
    person = access.person_of_user(user)
    verdict = access.settled(person, patient)
    if verdict is None:
        tenant = tenancy.current()
        raise ToAskError(lambda: access.openable(tenant, person, [patient]))
    return verdict


def _end(grant: Grant) -> None:
    actor = events.Actor.client(grant.application.client_id)
    grants.end_grants(reason="patient_out_of_reach", actor=actor, id=grant.pk)
