"""Which apps act for a person, and what the person decided before (REVO-05)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext

from audit.models import AuditEvent, actor_index
from authfi.accounts.models import User
from consent import remembered
from consent.models import Consent
from smart.launch import own_record
from smart.models import Application, Grant
from smart.scopes.choices import choices
from smart.scopes.describe import Kind, Reader, describe
from smart.scopes.syntax import Scope, parse_scopes

_TOLD: Final = frozenset({Kind.VIEW, Kind.CHANGE, Kind.KNOW})

#: Decisions shown; older ones stay in the trail.
MAX_PAST = 50
#: So many of a person's newest events are looked through for what an app last did.
READ_BACK = 10_000


@dataclass(frozen=True, slots=True)
class Access:
    """What one app may do for a person with one record, by however many grants.

    `consent` names it in URLs. `until` is None where no end is set. `last_used_at` is None where
    it was not used, as far as `used_since` tells: what came before that was not looked at.
    """

    consent: Consent
    grants: tuple[Grant, ...]
    last_used_at: datetime | None
    used_since: datetime | None = None

    @property
    def application(self) -> Application:
        """The app."""
        return self.grants[0].application

    @property
    def record(self) -> str:
        """Whose record, by the name that was on the page; empty where it is about none."""
        return record_name(self.consent)

    @property
    def since(self) -> datetime:
        """When it began."""
        return min(grant.created_at for grant in self.grants)

    @property
    def may_be_long_unused(self) -> bool:
        """Has it not been used as far back as was looked, which is not to its beginning?"""
        if self.last_used_at or self.used_since is None:
            return False
        return self.since < self.used_since

    @property
    def lasts(self) -> str:
        """How the longest of the grants lasts, one of `Grant.Lasts`."""
        found = {grant.lasts for grant in self.grants}
        order = (Grant.Lasts.OFFLINE, Grant.Lasts.ONLINE, Grant.Lasts.TOKEN)
        return next(str(one) for one in order if one in found)

    @property
    def until(self) -> datetime | None:
        """When the last of the grants ends; None where no date is set: it ends with the person's
        session, or use moves the end on and on.
        """
        if self.lasts == Grant.Lasts.ONLINE:
            return None
        if self.lasts:
            ends = [grant.refresh_ends_at for grant in self.grants if grant.lasts]
            return None if None in ends else max(end for end in ends if end)
        return max(grant.expires_at for grant in self.grants)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What it may do, all grants together."""
        return parse_scopes(" ".join(dict.fromkeys(" ".join(self._texts()).split())))

    def _texts(self) -> list[str]:
        return [grant.scopes for grant in self.grants]


@dataclass(frozen=True, slots=True)
class Overview:
    """A person's page: live access, what is remembered without any, and past decisions."""

    live: tuple[Access, ...]
    remembered: tuple[Consent, ...]
    past: tuple[Consent, ...]


def overview(user: User) -> Overview:
    """Everything of a person, in a fixed number of statements."""
    live = live_access(user)
    shown = {grant.consent_id for access in live for grant in access.grants if grant.consent_id}
    waiting = [
        consent
        for consent in remembered.current(user).select_related("application", "request")
        if consent.pk not in shown
    ]
    shown |= {consent.pk for consent in waiting}
    past = (
        Consent.objects.filter(user=user)
        .exclude(pk__in=shown)
        .select_related("application", "request")
        .order_by("-decided_at")
    )
    return Overview(live, tuple(waiting), tuple(past[:MAX_PAST]))


def live_access(user: User) -> tuple[Access, ...]:
    """The person's live access by app and record, the latest first."""
    grants = (
        Grant.objects.filter(
            user=user,
            consent__isnull=False,
            ended_at__isnull=True,
            expires_at__gt=timezone.now(),
            application__state=Application.State.ACTIVE,
        )
        .select_related("application", "consent__request")
        .order_by("-created_at")
    )
    together: dict[tuple[UUID, str | None], list[Grant]] = {}
    for grant in grants:
        together.setdefault((grant.application_id, grant.patient_index), []).append(grant)
    used, since = _last_used(user, [found[0].application.client_id for found in together.values()])
    return tuple(
        Access(found[0].consent, tuple(found), used.get(found[0].application.client_id), since)
        for found in together.values()
        if found[0].consent
    )


def find(user: User, consent_id: UUID) -> list[Consent]:
    """The person's active decision of that id, and those on the same app and record."""
    named = Consent.objects.filter(pk=consent_id, user=user).first()
    if named is None:
        return []
    active = Consent.objects.filter(
        user=user,
        application_id=named.application_id,
        patient_index=named.patient_index,
        state=Consent.State.ACTIVE,
    )
    return list(active.select_related("application", "request").order_by("-decided_at"))


def reader_of(user: User) -> Reader:
    """In whose words the page is."""
    return Reader.PATIENT if own_record(user) else Reader.CLINICIAN


def in_words(scopes: Sequence[Scope], reader: Reader) -> list[tuple[str, bool]]:
    """Each scope that says what the app may do, and whether it is very private."""
    told = [describe(one.scope, reader, gettext) for one in choices(scopes, ())]
    return [(one.short, one.sensitive) for one in told if one.kind in _TOLD]


def record_name(consent: Consent) -> str:
    """Whose record a decision was about, by the name that was on the page."""
    return str(consent.request.shown["facts"]["patient"]) if consent.request else ""


def _last_used(
    user: User, client_ids: Sequence[str]
) -> tuple[dict[str, datetime], datetime | None]:
    """When each app last asked for records in the person's name, and since when that was looked
    for; None where nothing is older. However long the trail is, so many events are read.
    """
    events = AuditEvent.objects.filter(actor_index=actor_index(str(user.pk))).order_by("-at")
    oldest = events.values_list("at", flat=True)[READ_BACK - 1 : READ_BACK].first()
    if oldest is not None:
        events = events.filter(at__gte=oldest)
    asked = events.filter(code__startswith="fhir.", client_id__in=client_ids).order_by()
    return dict(asked.values_list("client_id").annotate(Max("at"))), oldest
