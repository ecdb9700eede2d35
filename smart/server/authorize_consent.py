"""What the consent page is told, and whether it is needed at all (C1, C2, C3, D5, D17)."""

from django.urls import reverse
from django.utils.translation import gettext

from authfi.accounts.models import User
from authfi.lib.transaction import transaction
from consent import remembered, requests
from consent.choices import Item
from consent.models import Consent, ConsentRequest
from consent.requests import Withheld
from consent.wording import Why
from smart import launch as launches
from smart import upstream
from smart.models import Application, AuthorizationRequest, HealthcareModule
from smart.scopes import match
from smart.scopes.choices import Choice, choices
from smart.scopes.describe import Reader, describe
from smart.scopes.match import LeftOut, Reason
from smart.scopes.syntax import ClinicalScope, Scope, clinical_scope, parse_scopes
from smart.server import redirect_uris
from smart.server.authorize_grant import Offer, Pending
from smart.server.patient_context import Context
from tenants import policies
from tenants.http import TenantRequest


def ask(request: TenantRequest, asked: Pending, offered: Offer, user: User) -> ConsentRequest:
    """Put the question to the person; the answer leads back to the kept request (D17)."""
    kept, context = asked.kept, offered.context
    patient_name = _patient_name(context, user)  # asks the EHR, so not inside a transaction
    module = HealthcareModule.objects.first()
    lines = choices(offered.scopes, module.capabilities if module else ())
    with transaction():
        question = requests.open_request(
            request,
            application=kept.application,
            user=user,
            reader=context.reader,
            patient=context.patient,
            patient_name=patient_name,
            items=[item(line, context.reader) for line in lines],
            redirect_origin=redirect_uris.origin_of(asked.redirect_uri),
            return_path=reverse("authorize-continue", kwargs={"request_id": kept.pk}),
            withheld=_withheld(asked, offered),
            lasts_seconds=_longest_seconds(kept.application),
        )
        AuthorizationRequest.objects.filter(pk=kept.pk).update(consent_request=question)
    return question


def remembered_answer(asked: Pending, offered: Offer, user: User) -> Consent | None:
    """The decision that answers this question too, so that no page is needed (C3).

    It allowed all that is offered now. None where the app wants the person asked.
    """
    if "consent" in asked.prompt:
        return None
    found = remembered.decisions(
        application=asked.kept.application,
        user=user,
        patient=offered.context.patient,
        redirect_origin=redirect_uris.origin_of(asked.redirect_uri),
    )
    return next((one for one in found if _allows_all(one, offered.scopes)), None)


def item(line: Choice, reader: Reader) -> Item:
    """A line in words for the reader."""
    told = describe(line.scope, reader, gettext)
    return Item(
        scope=line.scope.text,
        kind=told.kind,
        short=told.short,
        long=told.long,
        sensitive=told.sensitive,
        is_fixed=line.is_fixed,
        needs=line.needs,
        parts=tuple(item(part, reader) for part in line.parts),
    )


def _longest_seconds(application: Application) -> int | None:
    """How long lasting access can be renewed; None where only use keeps it alive (REFR-18)."""
    longest = policies.tokens().limits(patient_access=application.patient_access).absolute
    return int(longest.total_seconds()) if longest else None


def _allows_all(consent: Consent, scopes: tuple[Scope, ...]) -> bool:
    return not match.intersect(scopes, parse_scopes(consent.scopes)).left_out


def _withheld(asked: Pending, offered: Offer) -> list[Withheld]:
    """What the ceiling left out, in words and with its reason (D5)."""
    reader, application = offered.context.reader, asked.kept.application
    found = [
        Withheld(_missing(one.scope, offered, reader), _why(one, application))
        for one in offered.left_out
    ]
    gone = {one.scope.text for one in offered.left_out}
    kept = {scope.text for scope in offered.scopes}
    found += [
        Withheld(describe(scope, reader, gettext).short, Why.NOTHING)
        for scope in asked.scopes
        if scope.text not in gone | kept
    ]
    return list(dict.fromkeys(found))


def _missing(scope: Scope, offered: Offer, reader: Reader) -> str:
    """What is not given of a scope: all of it, some of its interactions, or "in part"."""
    granted = [
        one
        for one in offered.scopes
        if isinstance(one, ClinicalScope)
        and isinstance(scope, ClinicalScope)
        and match.covering([scope], one.resource_type, min(one.interactions), one.level)
    ]
    if not granted or not isinstance(scope, ClinicalScope):
        return describe(scope, reader, gettext).short
    rest = scope.interactions - frozenset().union(*(one.interactions for one in granted))
    if rest:
        lost = clinical_scope(scope.level, scope.resource_type, rest, scope.constraints)
        return describe(lost, reader, gettext).short
    return gettext("{text} (only in part)").format(text=describe(scope, reader, gettext).short)


def _why(left_out: LeftOut, application: Application) -> Why:
    if left_out.reason in (Reason.UNKNOWN, Reason.UNSUPPORTED):
        return Why.UNKNOWN
    if left_out.reason is Reason.ROLE:
        return Why.ROLE
    registered = match.intersect([left_out.scope], parse_scopes(application.scopes))
    return Why.APP if registered.left_out else Why.HOSPITAL


def _patient_name(context: Context, user: User) -> str:
    """Whose record the page names; the reference where the EHR does not tell the name."""
    if context.patient is None:
        return ""
    if context.patient == launches.own_record(user):
        return str(user.name)
    return upstream.patient_name(context.patient) or f"Patient/{context.patient}"
