"""A person ends an app's access, or lets it see less (REVO-04, REVO-05, C7)."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from django.utils import timezone

from audit import events, record
from authfi.lib.transaction import transaction
from consent import services
from consent.models import Consent
from smart.account.app_access import Access
from smart.models import Grant
from smart.scopes import match
from smart.scopes.syntax import Scope, format_scopes, parse_scopes

_LASTING: Final = {"offline_access": Grant.Lasts.OFFLINE, "online_access": Grant.Lasts.ONLINE}


def end_access(*, consents: Collection[Consent], actor: events.Actor) -> None:
    """Withdraw decisions: their codes and tokens are dead at once, and nothing is remembered."""
    with transaction():
        for consent in consents:
            services.withdraw(consent=consent, actor=actor)


def narrow_access(*, access: Access, chosen: Collection[Scope], actor: events.Actor) -> bool:
    """Leave each grant of an app what is chosen of it; False where that would leave nothing.

    Its tokens open no more from now on, and the app hears of it at its next refresh. No decision
    about this app and record that is in force allows more, remembered ones too. Consents are locked
    before grants, as where a grant is made or a consent withdrawn: a grant that is being made is
    waited for, and then found.
    """
    with transaction():
        consents = list(
            Consent.objects.select_for_update()
            .filter(
                application_id=access.consent.application_id,
                user_id=access.consent.user_id,
                patient_index=access.consent.patient_index,
                state=Consent.State.ACTIVE,
            )
            .order_by("pk")
        )
        grants = list(
            Grant.objects.select_for_update(of=("self",))
            .select_related("application")
            .filter(consent__in=consents, ended_at__isnull=True, expires_at__gt=timezone.now())
            .order_by("pk")
        )
        kept = {grant.pk: _narrowed(grant, chosen) for grant in grants}
        if not grants or not all(kept.values()):
            return False
        for grant in grants:
            before, grant.scopes = grant.scopes, kept[grant.pk]
            if grant.scopes != before:
                _keep(grant, before, actor)
        for consent in consents:
            allowed = match.intersect(parse_scopes(consent.scopes), chosen).granted
            Consent.objects.filter(pk=consent.pk).update(scopes=format_scopes(allowed))
    return True


def _narrowed(grant: Grant, chosen: Collection[Scope]) -> str:
    found = match.intersect(parse_scopes(grant.scopes), chosen).granted
    return format_scopes(match.consistent(found, has_patient=grant.patient is not None))


def _keep(grant: Grant, before: str, actor: events.Actor) -> None:
    scopes = grant.scopes.split()
    if grant.lasts and grant.lasts not in [_LASTING.get(text) for text in scopes]:
        _stop_refreshing(grant)
    grant.save(update_fields=["scopes", "lasts", "expires_at", "refresh_ends_at"])
    record.record(
        events.Event(
            code=events.Code.CONSENT_NARROW,
            outcome=events.Outcome.SUCCESS,
            actor=actor,
            client_id=grant.application.client_id,
            patient=grant.patient or "",
            object=f"Grant/{grant.pk}",
            details={
                "consent": str(grant.consent_id or ""),
                "scopes": scopes,
                "left_out": {
                    text: str(match.Reason.PERSON) for text in before.split() if text not in scopes
                },
            },
        )
    )


def _stop_refreshing(grant: Grant) -> None:
    """It ends with the access tokens that are out; refresh tokens are dead at once (REFR-17)."""
    now = timezone.now()
    last_token = now + timedelta(seconds=grant.application.access_token_seconds)
    grant.lasts, grant.refresh_ends_at = Grant.Lasts.TOKEN, None
    grant.expires_at = min(grant.expires_at, last_token)
