"""From a kept request to a grant: what is offered, what was allowed, and the code (D3, D5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.utils import timezone

from audit import events, record
from authfi.accounts import people
from authfi.accounts.models import User
from authfi.accounts.signin import Assurance
from authfi.lib.transaction import transaction
from consent.models import Consent
from smart import grants, role_rules
from smart import launch as launches
from smart.models import AuthorizationCode, AuthorizationRequest, Grant, HealthcareModule
from smart.policy import acr
from smart.scopes import match
from smart.scopes.match import LeftOut, Reason
from smart.scopes.syntax import Scope, parse_scopes
from smart.server import ceiling, patient_context
from smart.server.ceiling import Situation
from smart.server.engine import Engine
from smart.server.errors import (
    AccessDenied,
    InvalidRequest,
    InvalidScope,
    redirect_to_app,
)
from smart.server.patient_context import Context
from smart.server.validator import CODE_SECONDS, SmartValidator
from tenants import policies


@dataclass(frozen=True, slots=True)
class Pending:
    """A kept request with its parameters opened."""

    kept: AuthorizationRequest
    redirect_uri: str
    state: str
    code_challenge: str
    audience: str
    nonce: str
    prompt: tuple[str, ...]
    max_age: int | None
    login_hint: str
    scopes: tuple[Scope, ...]
    aal: int = 0

    @classmethod
    def of(cls, kept: AuthorizationRequest) -> "Pending":
        """Open a kept request."""
        parameters: dict[str, Any] = dict(kept.parameters)
        return cls(
            kept=kept,
            prompt=tuple(parameters.pop("prompt")),
            scopes=parse_scopes(parameters.pop("scope")),
            **parameters,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What may be granted to this person in this launch, and what fell away."""

    context: Context
    scopes: tuple[Scope, ...]
    left_out: tuple[LeftOut, ...]
    situation: Situation
    actor: events.Actor


def offer(asked: Pending, user: User, actor: events.Actor) -> Offer:
    """Settle context and scopes. Raises AccessDenied, InvalidScope, ToChooseError."""
    narrowed = ceiling.narrow(
        asked.scopes, asked.kept.application, HealthcareModule.objects.first()
    )
    context = patient_context.settle(user, asked.kept, narrowed.granted)
    situation = Situation(
        has_patient=context.patient is not None,
        has_encounter=context.encounter is not None,
        has_fhir_user=bool(user.fhir_user),
        has_records=patient_context.has_records(user),
        brought=context.brought,
    )
    by_role = role_rules.within_roles(narrowed.granted, people.roles_of(user))
    scopes = ceiling.fit(by_role.granted, situation)
    barred = ceiling.barred_by_role(by_role.granted, situation)
    left_out = (*narrowed.left_out, *by_role.left_out, *barred)
    made = Offer(context, scopes, left_out, situation, actor)
    if not ceiling.is_usable(scopes):
        record.record(*_reduced(asked, made, ()))
        raise InvalidScope("none of these scopes can be granted here")
    return made


def allow(
    asked: Pending, offered: Offer, consent: Consent, *, user: User, held: Assurance
) -> HttpResponse:
    """Make the grant and its code, and use the launch up; the redirect to the app (AUTZ-14).

    `consent` is the answer to this request's question, or one that was remembered (C3).
    All in one transaction: of several answers at once one succeeds. Raises errors.OAuthError.
    """
    with transaction():
        now = _finish(asked)
        consent = _still_given(consent)
        chosen = match.intersect(offered.scopes, parse_scopes(consent.scopes))
        scopes, lasts = ceiling.lasting(ceiling.fit(chosen.granted, offered.situation))
        if consent.patient != offered.context.patient or not ceiling.is_usable(scopes):
            raise AccessDenied("the person allowed nothing that was asked for")
        grant = _grant(asked, offered, consent, user=user, held=held, lasts=lasts, now=now)
        grant.scopes = " ".join(scope.text for scope in scopes)
        grant.save(force_insert=True)
        code = _code(asked, grant, user)
        if consent.request_id != asked.kept.consent_request_id:
            record.record(_remembered(asked, offered, consent, scopes))
        record.record(*_reduced(asked, offered, scopes, chosen.left_out))
    return redirect_to_app(asked.redirect_uri, {"code": code, "state": asked.state})


def answer_again(asked: Pending, user: User | None) -> HttpResponse | None:
    """A fresh code for a browser that sent its answer twice and left the first redirect behind.

    The first code is withdrawn; None where there is none, or where the app has used it already. It
    is found by its question, or where none was put (C3) by its PKCE challenge.
    """
    first: dict[str, Any]
    if question := asked.kept.consent_request_id:
        first = {"grant__consent__request": question}
    elif asked.code_challenge:
        first = {"code_challenge": asked.code_challenge, "redirect_uri": asked.redirect_uri}
    else:
        return None
    with transaction():
        code = (
            AuthorizationCode.objects.select_for_update(of=("self",))
            .select_related("grant__user")
            .filter(
                grant__application=asked.kept.application,
                grant__ended_at__isnull=True,
                grant__user=user,
                used_at__isnull=True,
                expires__gt=timezone.now(),
                **first,
            )
            .first()
        )
        if code is None or code.grant.user is None:
            return None
        code.delete()
        fresh = _code(asked, code.grant, code.grant.user)
    return redirect_to_app(asked.redirect_uri, {"code": fresh, "state": asked.state})


def deny(asked: Pending) -> None:
    """The person said no: neither this request nor its launch can be used again."""
    with transaction():
        _finish(asked)


def _finish(asked: Pending) -> datetime:
    """Close the kept request and use its launch up. Raises errors.OAuthError."""
    now = timezone.now()
    finished = AuthorizationRequest.objects.filter(
        pk=asked.kept.pk, finished_at__isnull=True
    ).update(finished_at=now)
    if not finished:
        raise InvalidRequest("the request was answered before")
    if asked.kept.launch_context is not None:
        try:
            launches.consume(asked.kept.launch_context)
        except launches.LaunchRefusedError as error:
            raise InvalidRequest(error.reason) from error
    return now


def _still_given(consent: Consent) -> Consent:
    """The decision as it stands, locked: who withdraws or narrows it now waits for the grant, and
    then finds it (C7). Raises AccessDenied.
    """
    given = (
        Consent.objects.select_for_update()
        .filter(pk=consent.pk, state=Consent.State.ACTIVE)
        .first()
    )
    if given is None:
        raise AccessDenied("the person has withdrawn what they allowed")
    return given


def _grant(
    asked: Pending,
    offered: Offer,
    consent: Consent,
    *,
    user: User,
    held: Assurance,
    lasts: Grant.Lasts,
    now: datetime,
) -> Grant:
    """A grant that lives as long as a token of it can, or as the tenant lets it be refreshed."""
    context, application = offered.context, asked.kept.application
    found = {
        "patient": context.patient,
        "encounter": context.encounter,
        "fhir_user": user.fhir_user,
        "audience": asked.audience,
        "amr": list(held.amr),
        grants.LAUNCHED: asked.kept.launch_context is not None,
    }
    limits = policies.tokens().limits(patient_access=application.patient_access)
    once = timedelta(seconds=CODE_SECONDS + application.access_token_seconds)
    return Grant(
        application=application,
        user=user,
        consent=consent,
        launch_context=asked.kept.launch_context,
        session_id=held.session_id,
        patient=context.patient,
        context={**context.members, **{name: value for name, value in found.items() if value}},
        acr=acr.name_of(held.aal),
        auth_time=held.auth_time,
        lasts=lasts,
        expires_at=now + (limits.idle if lasts else once),
        refresh_ends_at=now + limits.absolute if lasts and limits.absolute else None,
    )


def _code(asked: Pending, grant: Grant, user: User) -> str:
    """A code by oauthlib's own grant, saved by our validator (D14)."""
    facts = {
        "client_id": asked.kept.application.client_id,
        "redirect_uri": asked.redirect_uri,
        "response_type": "code",
        "state": asked.state,
        "code_challenge": asked.code_challenge or None,
        "code_challenge_method": "S256" if asked.code_challenge else None,
        "nonce": asked.nonce,
        "user": user,
        "grant": grant,
    }
    return Engine(SmartValidator(asked.kept.application)).authorization_code(
        grant.scopes.split(), facts
    )


def _remembered(
    asked: Pending, offered: Offer, consent: Consent, scopes: Sequence[Scope]
) -> events.Event:
    return events.Event(
        code=events.Code.CONSENT_GRANT,
        outcome=events.Outcome.SUCCESS,
        actor=offered.actor,
        client_id=asked.kept.application.client_id,
        patient=offered.context.patient or "",
        object=f"Consent/{consent.pk}",
        reason="remembered",
        details={
            "consent": str(consent.pk),
            "scopes": [scope.text for scope in scopes],
            "decided_at": consent.decided_at.isoformat(),
        },
    )


def _reduced(
    asked: Pending, offered: Offer, granted: Sequence[Scope], unticked: Sequence[LeftOut] = ()
) -> list[events.Event]:
    event = ceiling.reduced_event(
        requested=asked.scopes,
        granted=granted,
        left_out=(*offered.left_out, *(LeftOut(one.scope, Reason.PERSON) for one in unticked)),
        actor=offered.actor,
        client_id=asked.kept.application.client_id,
        patient=offered.context.patient or "",
    )
    return [event] if event else []
