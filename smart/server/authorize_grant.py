"""From a kept request to a grant: what is offered, what was allowed, and the code (D3, D5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from audit import events, record
from authfi.accounts.models import User
from authfi.accounts.signin import Assurance
from authfi.lib.transaction import transaction
from consent import requests
from consent.models import Consent, ConsentRequest
from smart import launch as launches
from smart import upstream
from smart.models import AuthorizationCode, AuthorizationRequest, Grant, HealthcareModule
from smart.scopes.describe import Reader, describe
from smart.scopes.match import LeftOut
from smart.scopes.syntax import Scope, parse_scopes
from smart.server import ceiling, patient_context, redirect_uris
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
from tenants.http import TenantRequest


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
    )
    scopes = ceiling.fit(narrowed.granted, situation)
    left_out = (*narrowed.left_out, *ceiling.barred_by_role(narrowed.granted, situation))
    made = Offer(context, scopes, left_out, situation, actor)
    if not ceiling.is_usable(scopes):
        record.record(*_reduced(asked, made, ()))
        raise InvalidScope("none of these scopes can be granted here")
    return made


def ask(request: TenantRequest, asked: Pending, offered: Offer, user: User) -> ConsentRequest:
    """Put the question to the person; the answer leads back to the kept request (D17)."""
    kept, context = asked.kept, offered.context
    patient_name = _patient_name(context, user)  # asks the EHR, so not inside a transaction
    with transaction():
        question = requests.open_request(
            request,
            application=kept.application,
            user=user,
            reader=context.reader,
            patient=context.patient,
            patient_name=patient_name,
            items=[_item(scope, context.reader) for scope in offered.scopes],
            redirect_origin=redirect_uris.origin_of(asked.redirect_uri),
            return_path=reverse("authorize-continue", kwargs={"request_id": kept.pk}),
        )
        AuthorizationRequest.objects.filter(pk=kept.pk).update(consent_request=question)
    return question


def allow(
    asked: Pending, offered: Offer, consent: Consent, *, user: User, held: Assurance
) -> HttpResponse:
    """Make the grant and its code, and use the launch up; the redirect to the app (AUTZ-14).

    All in one transaction: of several answers at once one succeeds. Raises errors.OAuthError.
    """
    allowed = set(consent.scopes.split())
    chosen = [scope for scope in offered.scopes if scope.text in allowed]
    scopes, lasts = ceiling.lasting(ceiling.fit(chosen, offered.situation))
    if consent.patient != offered.context.patient or not ceiling.is_usable(scopes):
        raise AccessDenied("the person allowed nothing that was asked for")
    with transaction():
        now = _finish(asked)
        grant = _grant(asked, offered, consent, user=user, held=held, lasts=lasts, now=now)
        grant.scopes = " ".join(scope.text for scope in scopes)
        grant.save(force_insert=True)
        code = _code(asked, grant, user)
        record.record(*_reduced(asked, offered, scopes))
    return redirect_to_app(asked.redirect_uri, {"code": code, "state": asked.state})


def answer_again(asked: Pending, user: User | None) -> HttpResponse | None:
    """A fresh code for a browser that sent its answer twice and left the first redirect behind.

    The first code is withdrawn; None where there is none, or where the app has used it already.
    """
    with transaction():
        code = (
            AuthorizationCode.objects.select_for_update(of=("self",))
            .select_related("grant")
            .filter(
                grant__consent__request=asked.kept.consent_request_id,
                grant__ended_at__isnull=True,
                user=user,
                used_at__isnull=True,
                expires__gt=timezone.now(),
            )
            .first()
        )
        if code is None or code.user is None:
            return None
        code.delete()
        fresh = _code(asked, code.grant, code.user)
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
        acr=f"aal{held.aal}",
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
        "code_challenge": asked.code_challenge,
        "code_challenge_method": "S256",
        "nonce": asked.nonce,
        "user": user,
        "grant": grant,
    }
    return Engine(SmartValidator(asked.kept.application)).authorization_code(
        grant.scopes.split(), facts
    )


def _reduced(asked: Pending, offered: Offer, granted: Sequence[Scope]) -> list[events.Event]:
    event = ceiling.reduced_event(
        requested=asked.scopes,
        granted=granted,
        left_out=offered.left_out,
        actor=offered.actor,
        client_id=asked.kept.application.client_id,
        patient=offered.context.patient or "",
    )
    return [event] if event else []


def _item(scope: Scope, reader: Reader) -> requests.Item:
    told = describe(scope, reader, gettext)
    return requests.Item(
        scope=scope.text,
        kind=told.kind,
        short=told.short,
        long=told.long,
        sensitive=told.sensitive,
    )


def _patient_name(context: Context, user: User) -> str:
    """Whose record the page names; the reference where the EHR does not tell the name."""
    if context.patient is None:
        return ""
    if context.patient == launches.own_record(user):
        return str(user.name)
    return upstream.patient_name(context.patient) or f"Patient/{context.patient}"
