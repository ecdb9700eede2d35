"""May this person open these patients' records? The one answer to it (design D16; G47, STND-05).

The picker, `user/` scopes and the gateway ask here. The rule is pure
(`smart.policy.clinician_access`); this module finds its facts: roles and policy in the database,
what ties a clinician to a patient at the FHIR server or on their own list. Whatever cannot be
found out means no.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.utils import timezone

from authfi.accounts.models import CLINICAL_ROLES, RoleAssignment, User
from authfi.lib import database, outbound, tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from smart import care_evidence, patient_list
from smart.policy import clinician_access
from smart.policy.clinician_access import Evidence, Rule, Tie, Verdict
from smart.policy.references import Key, is_id
from smart.upstream import NotActiveError, UpstreamError
from tenants import policies
from tenants.policies import ClinicianAccessPolicy

PERSON_SECONDS: Final = 1.0
EVIDENCE_SECONDS: Final = 5.0
REMEMBERED: Final = 20_000
MAX_PANEL: Final = 2_000

_PRACTITIONERS: Final = frozenset({"Practitioner", "PractitionerRole"})


@dataclass(frozen=True, slots=True)
class Person:
    """An active person of a tenant; `fhir_user` is a relative reference (`Practitioner/123`)."""

    user_id: UUID
    roles: frozenset[str]
    fhir_user: str | None


@dataclass(frozen=True, slots=True)
class Panel:
    """The patients of a person whose rules open only some; `unknown` says why there may be more."""

    patients: tuple[str, ...]
    unknown: tuple[str, ...] = ()


_people: Ttl[tuple[UUID, UUID], Person | None] = Ttl(PERSON_SECONDS, REMEMBERED)
_EvidenceKey = tuple[UUID, Person, frozenset[Tie], str]
_evidence: Ttl[_EvidenceKey, Evidence] = Ttl(EVIDENCE_SECONDS, REMEMBERED)


async def person_of(tenant: TenantRef, user_id: UUID) -> Person | None:
    """The person with their roles as they were at most a second ago; None if not active."""
    if hit := _people.get((tenant.id, user_id)):
        return hit.value
    return await database.run(tenant, _read_person, user_id)


def person_of_user(user: User) -> Person:
    """The same of the bound tenant's user, read now: for pages."""
    person = _read_person(user.pk)
    return person or Person(user.pk, frozenset(), None)


async def openable(
    tenant: TenantRef, person: Person, patients: Collection[str], *, vouched: str | None = None
) -> Mapping[str, Verdict]:
    """May the person open the records of these patients (bare ids)? A verdict for each.

    `vouched` is the patient of the EHR launch that the token is of, who can be opened for the life
    of that grant; one who was picked is judged like any other. It asks the FHIR server only where
    role and rule do not decide, in few requests for all patients, and remembers what it found for
    5 seconds. It does not raise: a server that cannot tell means no, with the reason in the
    verdict.
    """
    rules = _rules(person, await policies.aclinician_access(tenant))
    wanted = _unsettled(person, rules, patients, vouched)
    found = await _evidence_for(tenant, person, rules, wanted) if wanted else {}
    return _verdicts(person, rules, patients, vouched, found)


def openable_sync(
    person: Person, patients: Collection[str], *, vouched: str | None = None
) -> Mapping[str, Verdict]:
    """`openable` for Django views, of the bound tenant."""
    return outbound.run(openable(tenancy.current(), person, patients, vouched=vouched))


def settled(person: Person, patient: str) -> Verdict | None:
    """The verdict of the bound tenant's rule, where it takes no asking; None where it does.

    What `openable` found out within the last 5 seconds counts, so ask that and come back.
    """
    rules, found = rules_of(person), dict[str, Evidence]()
    if _unsettled(person, rules, [patient], None):
        ties = clinician_access.needed_ties(rules)
        hit = _evidence.get((tenancy.current().id, person, ties, patient))
        if hit is None:
            return None
        found = {patient: hit.value}
    return _verdicts(person, rules, [patient], None, found)[patient]


async def panel(tenant: TenantRef, person: Person) -> Panel:
    """The patients to choose from: at most 2,000 that the person's rules lead to.

    Only those: `openable` still decides on each. Empty where the person may open every record
    (`is_unbounded`), since nobody lists those.
    """
    own = own_patient(person)
    if own is not None:
        return Panel((own,))
    ties = clinician_access.needed_ties(_rules(person, await policies.aclinician_access(tenant)))
    if not ties:
        return Panel(())
    ground = await database.run(tenant, _ground, person, ties, None)
    found, unknown = ground.listed, ground.unknown
    if ground.server is not None and ground.who is not None:
        at_server = ties - {Tie.LISTED}
        tied, missing = await care_evidence.panel(
            ground.server, ground.who, at_server, timezone.now()
        )
        found, unknown = found | tied, unknown + missing
    if len(found) > MAX_PANEL:
        unknown = (*unknown, f"only {MAX_PANEL} patients can be shown")
    return Panel(tuple(sorted(found)[:MAX_PANEL]), unknown)


async def is_unbounded(tenant: TenantRef, person: Person) -> bool:
    """Does the person's rule open every record, so that a search need not name its patients?"""
    return Rule.ALL in _rules(person, await policies.aclinician_access(tenant))


def own_patient(person: Person) -> str | None:
    """The id of the person's own Patient, where that is who they are here."""
    return clinician_access.own_patient(person.fhir_user)


def rules_of(person: Person) -> frozenset[Rule]:
    """The rules that the bound tenant has for the person's clinical roles."""
    return _rules(person, policies.clinician_access())


def _rules(person: Person, policy: ClinicianAccessPolicy) -> frozenset[Rule]:
    clinical = {role for role in person.roles if role in CLINICAL_ROLES}
    return clinician_access.rules_of(clinical, policy.default, policy.by_role)


def _read_person(user_id: UUID) -> Person | None:
    asked_at = time.monotonic()
    user = User.objects.filter(pk=user_id, is_active=True).first()
    person = None
    if user is not None:
        roles = RoleAssignment.objects.filter(user_id=user_id).values_list("role", flat=True)
        person = Person(user_id, frozenset(roles), user.fhir_user)
    return _people.put((tenancy.current().id, user_id), person, asked_at)


def _unsettled(
    person: Person, rules: frozenset[Rule], patients: Collection[str], vouched: str | None
) -> list[str]:
    """The patients for whom evidence could change the verdict."""
    if own_patient(person) is not None or not rules or Rule.ALL in rules:
        return []
    return [patient for patient in set(patients) if patient != vouched and is_id(patient)]


def _verdicts(
    person: Person,
    rules: frozenset[Rule],
    patients: Collection[str],
    vouched: str | None,
    found: Mapping[str, Evidence],
) -> dict[str, Verdict]:
    own = own_patient(person)
    return {
        patient: clinician_access.judge(
            patient,
            own=own,
            vouched=vouched,
            rules=rules,
            evidence=found.get(patient, clinician_access.NONE),
        )
        for patient in patients
    }


async def _evidence_for(
    tenant: TenantRef, person: Person, rules: frozenset[Rule], patients: Collection[str]
) -> dict[str, Evidence]:
    """What ties the person to the patients: from memory where it is fresh, the rest looked up."""
    ties = clinician_access.needed_ties(rules)
    found: dict[str, Evidence] = {}
    for patient in patients:
        if hit := _evidence.get((tenant.id, person, ties, patient)):
            found[patient] = hit.value
    if missing := [patient for patient in patients if patient not in found]:
        asked_at = time.monotonic()
        looked_up = await _look_up(tenant, person, ties, missing)
        for patient, evidence in looked_up.items():
            if not evidence.unknown:
                _evidence.put((tenant.id, person, ties, patient), evidence, asked_at)
        found |= looked_up
    return found


async def _look_up(
    tenant: TenantRef, person: Person, ties: frozenset[Tie], patients: list[str]
) -> dict[str, Evidence]:
    ground = await database.run(tenant, _ground, person, ties, patients)
    at_server = ties - {Tie.LISTED}
    said: Mapping[str, Evidence] = {}
    unknown = ground.unknown
    if at_server and ground.server is not None and ground.who is not None:
        now = timezone.now()
        said = await care_evidence.gather(ground.server, ground.who, patients, at_server, now)
    return {
        patient: _with(said.get(patient, Evidence(unknown=unknown)), patient in ground.listed)
        for patient in patients
    }


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the database knows before the FHIR server is asked."""

    listed: frozenset[str]
    server: care_evidence.Server | None
    who: Key | None
    unknown: tuple[str, ...]


def _ground(person: Person, ties: frozenset[Tie], patients: list[str] | None) -> _Ground:
    """What is known of these patients, or of all where none are given."""
    listed = frozenset[str]()
    if Tie.LISTED in ties and patients is None:
        listed = frozenset(patient_list.all_listed(person.user_id))
    elif Tie.LISTED in ties:
        listed = patient_list.listed(person.user_id, patients or ())
    if not ties - {Tie.LISTED}:
        return _Ground(listed, None, None, ())
    who = _practitioner(person)
    if who is None:
        return _Ground(listed, None, None, ("the person is not linked to a Practitioner",))
    try:
        return _Ground(listed, care_evidence.connected(), who, ())
    except (NotActiveError, UpstreamError) as error:
        return _Ground(listed, None, who, (str(error).rstrip("."),))


def _practitioner(person: Person) -> Key | None:
    kind, _, resource_id = (person.fhir_user or "").partition("/")
    return (kind, resource_id) if kind in _PRACTITIONERS and is_id(resource_id) else None


def _with(evidence: Evidence, is_listed: bool) -> Evidence:
    extra = {Tie.LISTED} if is_listed else set()
    return Evidence(evidence.ties | extra, evidence.unknown)
