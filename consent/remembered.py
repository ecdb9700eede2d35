"""Decisions that a person wants remembered, so that the same app need not ask again (C3)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db.models import QuerySet
from django.utils import timezone

from authfi.accounts.models import User
from consent.models import Consent
from consent.requests import App

LIFE: Final = timedelta(days=365)


def decisions(
    *, application: App, user: User, patient: str | None, redirect_origin: str
) -> Iterator[Consent]:
    """The person's remembered decisions for this app and record, the newest first.

    None for a public app, which anybody could pretend to be; none that was made for an app of
    another name, with other links or at another address, nor one older than a year.
    """
    if application.is_public:
        return
    found = current(user).filter(application_id=application.pk)
    for consent in found.select_related("request", "application").order_by("-decided_at"):
        shown = consent.request.shown if consent.request else {}
        if (
            consent.patient == patient
            and shown.get("redirect_origin") == redirect_origin
            and shown.get("about") == application.about
            and shown.get("facts", {}).get("app") == application.name
        ):
            yield consent


def current(user: User) -> QuerySet[Consent]:
    """All decisions of a person that are remembered now."""
    return Consent.objects.filter(
        user=user,
        decision=Consent.Decision.ALLOW,
        state=Consent.State.ACTIVE,
        remember=True,
        decided_at__gt=timezone.now() - LIFE,
    )
