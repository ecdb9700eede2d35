"""People of the bound tenant: made, found, changed, deactivated (D2, D8)."""

import re
from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError

from audit import events, record
from authfi.accounts import passwords, sessions, signals, throttling
from authfi.accounts.mfa.totp import SEED_BYTES, TOTPDevice
from authfi.accounts.models import CLINICAL_ROLES, Role, RoleAssignment, User
from authfi.crypto.fields import blind_index
from authfi.lib import tenancy
from authfi.lib.transaction import transaction

FHIR_USER = re.compile(
    r"(Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/(?!\.{1,2}$)[A-Za-z0-9.-]{1,64}"
)
_NPI = re.compile(r"[0-9]{10}")
_NPI_PREFIX = "80840"
_SYSTEM = events.Actor.system("people")


def find_by_email(email: str) -> User | None:
    """The person with that address, whatever its case."""
    index = blind_index(User, "email_index", email)
    return User.objects.filter(email_index=index).first()


def roles_of(user: User) -> frozenset[Role]:
    """What the person is in the organisation."""
    return frozenset(Role(given.role) for given in user.role_assignments.all())


def npi_is_valid(npi: str) -> bool:
    """Has the NPI the right check digit (CMS: Luhn over the number behind 80840)?

    A wrong one is accepted and flagged, since it may be a mistake of the directory's.
    """
    if not _NPI.fullmatch(npi):
        return False
    digits = [int(digit) for digit in reversed(_NPI_PREFIX + npi)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def create_person(
    *,
    email: str,
    name: str,
    roles: Iterable[str],
    password: str | None = None,
    fhir_user: str | None = None,
    npi: str | None = None,
    mrn: str | None = None,
    actor: events.Actor = _SYSTEM,
) -> User:
    """A person of the bound tenant. Without a password they cannot sign in yet.

    `fhir_user` is `Type/id`. Raises ValidationError, passwords.BusyError.
    """
    user = User(
        email=email.strip(),
        name=name.strip(),
        fhir_user=fhir_user or None,
        npi=npi or None,
        mrn=mrn or None,
    )
    given = _checked_roles(roles)
    _check(user)
    if password is not None:
        passwords.validate_password(password, words_of(user))
    user.password = make_password(None) if password is None else passwords.hash_password(password)
    try:
        with transaction():
            user.save(force_insert=True)
            RoleAssignment.objects.bulk_create(RoleAssignment(user=user, role=r) for r in given)
            throttling.rebind(user, throttling.PASSWORD)
            record.record(_event(events.Code.ADMIN_USER, user, actor, "created", roles=given))
    except IntegrityError as error:
        raise _taken(user) from error
    return user


def change_roles(*, user: User, roles: Iterable[str], actor: events.Actor) -> None:
    """Give the person these roles and no others. Raises ValidationError."""
    after, before = _checked_roles(roles), roles_of(user)
    with transaction():
        user.role_assignments.exclude(role__in=after).delete()
        RoleAssignment.objects.bulk_create(
            (RoleAssignment(user=user, role=role) for role in after - before),
            ignore_conflicts=True,
        )
        record.record(_event(events.Code.ADMIN_ROLE, user, actor, "roles", before, roles=after))
        signals.roles_changed.send(sender=User, user=user)


def change_password(
    *, user: User, password: str, actor: events.Actor, keep_session: UUID | None = None
) -> None:
    """A new password; every session but the one kept ends (N14).

    Raises ValidationError, passwords.BusyError.
    """
    passwords.validate_password(password, words_of(user))
    hashed = passwords.hash_password(password)
    with transaction():
        user.password = hashed
        user.save(update_fields=["password"])
        throttling.rebind(user, throttling.PASSWORD)
        sessions.end(user, keep=keep_session)
        record.record(_event(events.Code.ADMIN_USER, user, actor, "password"))


def enrol_totp(
    user: User,
    seed_hex: str,
    *,
    name: str = "authenticator",
    actor: events.Actor = _SYSTEM,
    keep_session: UUID | None = None,
    last_step: int = -1,
) -> TOTPDevice:
    """Bind an authenticator app; every session but the one kept ends (N8, N14).

    `last_step` is the step of the code that it was confirmed with, which is used up by that.
    Raises ValidationError where the seed has fewer than 160 bits.
    """
    try:
        seed = bytes.fromhex(seed_hex)
    except ValueError as error:
        raise ValidationError("The seed is not hex.") from error
    if len(seed) < SEED_BYTES:
        raise ValidationError("The seed needs at least 160 bits.")
    with transaction():
        if throttling.is_disabled(user, throttling.TOTP):
            TOTPDevice.objects.filter(user=user).delete()  # guessed at: it does not come back (N6)
        device = TOTPDevice.objects.create(
            user=user, name=name, seed=seed.hex(), last_step=last_step
        )
        throttling.rebind(user, throttling.TOTP)
        sessions.end(user, keep=keep_session)
        record.record(_event(events.Code.ENROL, user, actor, "totp"))
    return device


def deactivate(user: User, *, actor: events.Actor = _SYSTEM) -> None:
    """The person may no longer sign in; their sessions end, and what stands on them follows."""
    with transaction():
        user.is_active = False
        user.save(update_fields=["is_active"])
        sessions.end(user)
        signals.user_deactivated.send(sender=User, user=user)
        record.record(_event(events.Code.ADMIN_USER, user, actor, "deactivated"))


def words_of(user: User) -> list[str]:
    """What a password must not be: the person's own names (N3)."""
    return [user.name, user.email, user.email.partition("@")[0]]


def _checked_roles(roles: Iterable[str]) -> frozenset[Role]:
    try:
        given = frozenset(Role(role) for role in roles)
    except ValueError as error:
        raise ValidationError({"roles": f"A role is one of {', '.join(Role.values)}."}) from error
    if not given:
        raise ValidationError({"roles": "At least one role is needed."})
    if tenancy.current().is_platform:
        if given & {*CLINICAL_ROLES, Role.PATIENT}:
            raise ValidationError({"roles": "The platform has neither patients nor clinicians."})
    elif Role.OPERATOR in given:
        raise ValidationError({"roles": "Operators are people of the platform only."})
    return given


def _check(user: User) -> None:
    errors: dict[str, str] = {}
    try:
        validate_email(user.email)
    except ValidationError:
        errors["email"] = "Not an e-mail address."
    if not 1 <= len(user.name) <= 200 or not user.name.isprintable():
        errors["name"] = "A name has 1 to 200 characters."
    if user.fhir_user is not None and not FHIR_USER.fullmatch(user.fhir_user):
        errors["fhir_user"] = (
            "Type/id, where the type is Practitioner, PractitionerRole, Patient, RelatedPerson or "
            "Person."
        )
    if user.npi is not None and not _NPI.fullmatch(user.npi):
        errors["npi"] = "An NPI has ten digits."
    if user.mrn is not None and not (len(user.mrn) <= 64 and user.mrn.isprintable()):
        errors["mrn"] = "An MRN has at most 64 characters."
    if errors:
        raise ValidationError(errors)


def _taken(user: User) -> ValidationError:
    if User.objects.filter(email_index=user.email_index).exists():
        return ValidationError({"email": "There is a person with this address already."})
    return ValidationError({"fhir_user": "Another person is linked to this resource."})


def _event(
    code: events.Code,
    user: User,
    actor: events.Actor,
    reason: str,
    before: Iterable[str] = (),
    *,
    roles: Iterable[str] = (),
) -> events.Event:
    details = {"before": sorted(before), "after": sorted(roles)} if roles else {}
    return events.Event(
        code=code,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        object=f"User/{user.pk}",
        reason=reason,
        details=details,
    )
