"""Decide and withdraw: each change in one transaction with its audit event (C4, C7, D7)."""

from uuid import UUID

from django.utils import timezone
from django.utils.crypto import constant_time_compare

from audit import events, record
from authfi.accounts import signin
from authfi.accounts.models import User
from authfi.lib.transaction import transaction
from consent import requests
from consent.models import Consent, ConsentRequest
from consent.signals import consent_withdrawn


class ConsentError(Exception):
    """The answer was not taken."""


class NotAskedError(ConsentError):
    """The question was put to somebody else, or in another session."""


class ExpiredError(ConsentError):
    """The answer came too late."""


class AlreadyDecidedError(ConsentError):
    """The question has its answer: `consent`."""

    def __init__(self, consent: Consent) -> None:
        super().__init__("already decided")
        self.consent = consent


class NotShownError(ConsentError):
    """The answer was given to something else than what is asked (C4)."""


def decide(
    *,
    consent_request: ConsentRequest,
    decision: str,
    shown_digest: str,
    user: User,
    session_digest: str,
    aal: int,
) -> Consent:
    """Take a person's answer, "allow" or "deny", once; the first of several counts.

    `shown_digest` is `requests.digest` of what the person saw, `aal` the strength of the sign-in.
    Raises NotAskedError, NotShownError, ExpiredError, AlreadyDecidedError; ValueError for another
    answer.
    """
    wanted = Consent.Decision(decision)
    asked = requests.find(consent_request.pk, user=user, session_digest=session_digest)
    if asked is None:
        raise NotAskedError
    if not constant_time_compare(requests.digest(asked), shown_digest):
        raise NotShownError
    with transaction():
        _take(asked)
        is_allowed = wanted is Consent.Decision.ALLOW
        consent = Consent.objects.create(
            request=asked,
            application_id=asked.application_id,
            user=user,
            patient=asked.patient,
            decision=wanted,
            state=Consent.State.ACTIVE if is_allowed else Consent.State.INACTIVE,
            scopes=asked.scopes if is_allowed else "",
            text=asked.text,
            decided_at=timezone.now(),
        )
        record.record(_decided(consent, asked, aal))
    return consent


def decision_of(consent_request_id: UUID, *, user: User, session_digest: str) -> Consent | None:
    """The answer to a question put to this person in this session; None while there is none."""
    asked = requests.find(consent_request_id, user=user, session_digest=session_digest)
    return Consent.objects.filter(request=asked).first() if asked else None


def withdraw(*, consent: Consent, actor: events.Actor) -> Consent:
    """End a consent and, through `consent_withdrawn`, all that hangs on it. Safe to repeat."""
    now = timezone.now()
    with transaction():
        ended = Consent.objects.filter(pk=consent.pk, state=Consent.State.ACTIVE).update(
            state=Consent.State.INACTIVE, withdrawn_at=now
        )
        consent.refresh_from_db()
        if ended:
            consent_withdrawn.send(sender=Consent, consent=consent, actor=actor)
            record.record(
                events.Event(
                    code=events.Code.CONSENT_REVOKE,
                    outcome=events.Outcome.SUCCESS,
                    actor=actor,
                    client_id=consent.application.client_id,
                    patient=consent.patient or "",
                    object=f"Consent/{consent.pk}",
                    details={"consent": str(consent.pk), "scopes": consent.scopes.split()},
                )
            )
    return consent


def _take(asked: ConsentRequest) -> None:
    """Mark the question as answered: of two answers at once the database lets one through."""
    now = timezone.now()
    taken = ConsentRequest.objects.filter(
        pk=asked.pk, decided_at__isnull=True, expires_at__gt=now
    ).update(decided_at=now)
    if not taken:
        if decided := Consent.objects.filter(request=asked).first():
            raise AlreadyDecidedError(decided)
        raise ExpiredError


def _decided(consent: Consent, asked: ConsentRequest, aal: int) -> events.Event:
    is_allowed = consent.decision == Consent.Decision.ALLOW
    return events.Event(
        code=events.Code.CONSENT_GRANT if is_allowed else events.Code.CONSENT_DENY,
        outcome=events.Outcome.SUCCESS,
        actor=signin.actor(consent.user, aal=aal),
        client_id=consent.application.client_id,
        patient=consent.patient or "",
        object=f"Consent/{consent.pk}",
        details={
            "consent": str(consent.pk),
            "scopes": consent.scopes.split(),
            "requested": asked.scopes.split(),
            "text": consent.text.digest,
        },
    )
