"""Decide and withdraw: each change in one transaction with its audit event (C4, C7, D7)."""

from uuid import UUID

from django.utils import timezone
from django.utils.crypto import constant_time_compare

from audit import events, record
from authfi.accounts import signin
from authfi.accounts.models import User
from authfi.lib.transaction import transaction
from consent import choices, requests
from consent.choices import Selection
from consent.models import Consent, ConsentRequest
from consent.signals import consent_withdrawn


class ConsentError(Exception):
    """The answer was not taken."""


class NotAskedError(ConsentError):
    """The question was put to somebody else, or in another session."""


class ExpiredError(ConsentError):
    """The answer came too late."""


class AlreadyDecidedError(ConsentError):
    """The question has its answer, `consent`; `is_same`: what was answered now says no more."""

    def __init__(self, consent: Consent, *, is_same: bool) -> None:
        super().__init__("already decided")
        self.consent = consent
        self.is_same = is_same


class AppNotActiveError(ConsentError):
    """The app was suspended since the question was put."""


class NotShownError(ConsentError):
    """The answer was given to something else than what is asked (C4)."""


def decide(
    *,
    consent_request: ConsentRequest,
    decision: str,
    selection: Selection,
    shown_digest: str,
    user: User,
    session_digest: str,
    aal: int,
    remember: bool = False,
) -> Consent:
    """Take a person's answer, "allow" or "deny", once; the first of several counts.

    Allowed is what `selection` has of the question's lines (C2); where that is nothing, it is a
    denial (GRNT-07). `shown_digest` is `requests.digest` of what the person saw, `aal` the strength
    of the sign-in. `remember` counts where the page offered it (C3). Raises NotAskedError,
    NotShownError, AppNotActiveError, ExpiredError, AlreadyDecidedError; ValueError for another
    answer.
    """
    wanted = Consent.Decision(decision)
    asked = requests.find(consent_request.pk, user=user, session_digest=session_digest)
    if asked is None:
        raise NotAskedError
    if not constant_time_compare(requests.digest(asked, selection.opened), shown_digest):
        raise NotShownError
    if not asked.application.is_usable(None):
        raise AppNotActiveError
    items = requests.items(asked)
    scopes = choices.chosen(items, selection) if wanted is Consent.Decision.ALLOW else []
    is_allowed = bool(scopes) and not choices.is_refusal(items, scopes)
    with transaction():
        consent = Consent(
            request=asked,
            application=asked.application,
            user=user,
            patient=asked.patient,
            decision=Consent.Decision.ALLOW if is_allowed else Consent.Decision.DENY,
            state=Consent.State.ACTIVE if is_allowed else Consent.State.INACTIVE,
            scopes=" ".join(scopes) if is_allowed else "",
            remember=is_allowed and remember and asked.shown["may_remember"],
            text=asked.text,
            decided_at=timezone.now(),
        )
        _take(asked, consent)
        consent.save(force_insert=True)
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


def _take(asked: ConsentRequest, consent: Consent) -> None:
    """Mark the question as answered: of two answers at once the database lets one through."""
    now = timezone.now()
    taken = ConsentRequest.objects.filter(
        pk=asked.pk, decided_at__isnull=True, expires_at__gt=now
    ).update(decided_at=now)
    if not taken:
        if decided := Consent.objects.filter(request=asked).first():
            is_same = (decided.decision, decided.scopes) == (consent.decision, consent.scopes)
            raise AlreadyDecidedError(decided, is_same=is_same)
        raise ExpiredError


def _decided(consent: Consent, asked: ConsentRequest, aal: int) -> events.Event:
    is_allowed = consent.decision == Consent.Decision.ALLOW
    scopes, requested = consent.scopes.split(), asked.scopes.split()
    return events.Event(
        code=events.Code.CONSENT_GRANT if is_allowed else events.Code.CONSENT_DENY,
        outcome=events.Outcome.SUCCESS,
        actor=signin.actor(consent.user, aal=aal),
        client_id=consent.application.client_id,
        patient=consent.patient or "",
        object=f"Consent/{consent.pk}",
        details={
            "consent": str(consent.pk),
            "scopes": scopes,
            "requested": requested,
            "left_out": {scope: "person" for scope in requested if scope not in scopes},
            "remember": consent.remember,
            "text": consent.text.digest,
        },
    )
