"""A tenant's policies: versioned data, read as frozen values (D10, D16, H7, N1, N12)."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from audit import events, record
from authfi.lib import database, tenancy
from authfi.lib.transaction import transaction
from authfi.lib.ttl import Ttl
from tenants.models import Policy
from tenants.scope_rules import ScopeRulesPolicy
from tenants.style import StylePolicy

HOUR, MINUTE = 3600, 60
MAX_SESSION_SECONDS, MAX_IDLE_SECONDS = 24 * HOUR, HOUR
MAX_REFRESH_DAYS = 400
RECORD_RULES = frozenset({"all", "care-team", "encounter", "list"})


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """When a session ends by itself, in seconds: after sign-in, and after the last activity."""

    absolute_seconds: int
    idle_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPolicy:
    """How people sign in and for how long. Workforce and admins always need two factors (H7).

    Failed sign-ins from `trusted_networks` (CIDR) are not counted by network (D18).
    """

    patient_mfa: bool = True
    min_password_length: int = 15
    patient_session_seconds: int = 12 * HOUR
    patient_idle_seconds: int = 30 * MINUTE
    clinician_session_seconds: int = 12 * HOUR
    clinician_idle_seconds: int = 15 * MINUTE
    admin_session_seconds: int = 8 * HOUR
    admin_idle_seconds: int = 15 * MINUTE
    trusted_networks: list[str] = field(default_factory=list)

    def limits(self, kind: str) -> SessionLimits:
        """Session limits of a `patient`, `clinician` or `admin` (N12)."""
        return SessionLimits(
            absolute_seconds=getattr(self, f"{kind}_session_seconds"),
            idle_seconds=getattr(self, f"{kind}_idle_seconds"),
        )

    def check(self) -> None:
        """Raises ValidationError."""
        floor = 8 if self.patient_mfa else 15
        if not floor <= self.min_password_length <= 64:
            raise ValidationError(
                {
                    "min_password_length": "At least 15 and at most 64 characters; fewer, but at "
                    "least 8, only while everyone needs a second factor."
                }
            )
        for kind in ("patient", "clinician", "admin"):
            limits = self.limits(kind)
            if not MINUTE <= limits.idle_seconds <= MAX_IDLE_SECONDS:
                raise ValidationError({f"{kind}_idle_seconds": "From 60 to 3600 seconds."})
            if not limits.idle_seconds <= limits.absolute_seconds <= MAX_SESSION_SECONDS:
                raise ValidationError(
                    {f"{kind}_session_seconds": "From the idle limit to 86400 seconds."}
                )
        if not all(_is_network(text) for text in self.trusted_networks):
            raise ValidationError({"trusted_networks": "A network is written 192.0.2.0/24."})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicianAccessPolicy:
    """Whose record a clinician may open (D16): one rule, and others for single roles."""

    default: str = "care-team"
    by_role: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ValidationError."""
        if not {self.default, *self.by_role.values()} <= RECORD_RULES:
            raise ValidationError(f"A rule is one of {', '.join(sorted(RECORD_RULES))}.")


@dataclass(frozen=True, slots=True)
class RefreshLimits:
    """When access that can be refreshed ends by itself: unused, and at last (None: never)."""

    idle: timedelta
    absolute: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """How long apps stay connected (O13). Apps for patients slide without an end (REFR-18)."""

    idle_days: int = 30
    absolute_days: int = 90
    patient_access_idle_days: int = 100

    def limits(self, *, patient_access: bool) -> RefreshLimits:
        """Limits of an app, marked *patient access* or not."""
        if patient_access:
            return RefreshLimits(timedelta(days=self.patient_access_idle_days), None)
        return RefreshLimits(timedelta(days=self.idle_days), timedelta(days=self.absolute_days))

    def check(self) -> None:
        """Raises ValidationError."""
        if not 1 <= self.idle_days <= self.absolute_days <= MAX_REFRESH_DAYS:
            raise ValidationError(
                f"idle_days are at least 1 and at most absolute_days, those at most "
                f"{MAX_REFRESH_DAYS}."
            )
        if not 1 <= self.patient_access_idle_days <= MAX_REFRESH_DAYS:
            raise ValidationError({"patient_access_idle_days": f"From 1 to {MAX_REFRESH_DAYS}."})


Document = SignInPolicy | ClinicianAccessPolicy | RefreshPolicy | ScopeRulesPolicy | StylePolicy
KINDS: Mapping[str, type[Document]] = {
    "sign-in": SignInPolicy,
    "clinician-access": ClinicianAccessPolicy,
    "tokens": RefreshPolicy,
    "scope-rules": ScopeRulesPolicy,
    "style": StylePolicy,
}

_read: Ttl[tuple[UUID, str], Document] = Ttl(3.0)


def sign_in() -> SignInPolicy:
    """The bound tenant's rules of signing in."""
    return cast("SignInPolicy", _current("sign-in"))


def clinician_access() -> ClinicianAccessPolicy:
    """The bound tenant's rules of opening records."""
    return cast("ClinicianAccessPolicy", _current("clinician-access"))


def tokens() -> RefreshPolicy:
    """The bound tenant's rules of refreshing."""
    return cast("RefreshPolicy", _current("tokens"))


async def aclinician_access(tenant: tenancy.TenantRef) -> ClinicianAccessPolicy:
    """`clinician_access` for async code: from memory, else with one thread hop."""
    return cast("ClinicianAccessPolicy", await _acurrent(tenant, "clinician-access"))


def scope_rules() -> ScopeRulesPolicy:
    """The bound tenant's rules of using scopes."""
    return cast("ScopeRulesPolicy", _current("scope-rules"))


async def ascope_rules(tenant: tenancy.TenantRef) -> ScopeRulesPolicy:
    """`scope_rules` for async code: from memory, else with one thread hop."""
    return cast("ScopeRulesPolicy", await _acurrent(tenant, "scope-rules"))


def style() -> StylePolicy:
    """How the bound tenant's pages look."""
    return cast("StylePolicy", _current("style"))


def styles() -> Iterator[StylePolicy]:
    """The bound tenant's styles, the newest first and at last the standing one."""
    for row in Policy.objects.filter(kind="style").order_by("-version"):
        yield cast("StylePolicy", _parse("style", row.document))
    yield StylePolicy()


def change(*, kind: str, changes: Mapping[str, Any], actor: events.Actor) -> Document:
    """Add a version in which the named members differ (D10).

    Every process follows within three seconds. Raises ValidationError, also when someone else
    changed the same policy at the same moment.
    """
    if kind not in KINDS:
        raise ValidationError(f"No policy is called {kind!r}: use {', '.join(KINDS)}.")
    try:
        with transaction():
            newest = _newest(kind)
            before = _parse(kind, newest.document if newest else {})
            after = _changed(kind, before, changes)
            Policy.objects.create(
                kind=kind,
                version=newest.version + 1 if newest else 1,
                document=asdict(after),
                changed_by=actor.id,
            )
            record.record(_event(kind, before, after, actor))
    except IntegrityError as error:
        raise ValidationError("Somebody changed this policy just now: look again.") from error
    _read.forget((tenancy.current().id, kind))
    return after


def _current(kind: str) -> Document:
    key = (tenancy.current().id, kind)
    if hit := _read.get(key):
        return hit.value
    asked_at, newest = time.monotonic(), _newest(kind)
    return _read.put(key, _parse(kind, newest.document if newest else {}), asked_at)


async def _acurrent(tenant: tenancy.TenantRef, kind: str) -> Document:
    if hit := _read.get((tenant.id, kind)):
        return hit.value
    return await database.run(tenant, _current, kind)


def _newest(kind: str) -> Policy | None:
    return Policy.objects.filter(kind=kind).order_by("-version").first()


def _parse(kind: str, document: Mapping[str, Any]) -> Document:
    """A stored version; members that came later have their defaults."""
    known = {member.name for member in fields(KINDS[kind])}
    return KINDS[kind](**{name: value for name, value in document.items() if name in known})


def _changed(kind: str, before: Document, changes: Mapping[str, Any]) -> Document:
    values = asdict(before)
    for name, value in changes.items():
        if name not in values:
            raise ValidationError({name: f"The policy {kind} has no such member."})
        if not _is_like(value, values[name]):
            raise ValidationError({name: "The value is of the wrong kind."})
        values[name] = value
    after = KINDS[kind](**values)
    after.check()
    return after


def _is_network(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(ip_network(text))
    except ValueError:
        return False


def _is_like(value: object, example: object) -> bool:
    if isinstance(value, Mapping):
        return isinstance(example, Mapping) and all(
            isinstance(text, str) for pair in value.items() for text in pair
        )
    return type(value) is type(example)


def _event(kind: str, before: Document, after: Document, actor: events.Actor) -> events.Event:
    old, new = asdict(before), asdict(after)
    changed = [name for name in new if new[name] != old[name]]
    return events.Event(
        code=events.Code.POLICY_CHANGE,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        object=f"Policy/{kind}",
        details={
            "before": {name: old[name] for name in changed},
            "after": {name: new[name] for name in changed},
        },
    )
