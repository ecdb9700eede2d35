"""The consent page: what an app asks for, and the person's answer (C1, C4, O7, O8)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit import events, record
from authfi.accounts import signin
from authfi.accounts.models import User
from authfi.lib.going_on import SeeOther, let_forms_lead_to
from consent import choices, forms, requests, services, wording
from consent.choices import Selection
from consent.forms import DecisionForm
from consent.models import ConsentRequest
from tenants import limits, pages
from tenants.http import TenantRequest


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: TenantRequest, request_id: UUID) -> HttpResponse:
    """Show the question, open or close its parts; take the answer and go back to who asked."""
    user, assurance = signin.person(request), signin.assurance(request)
    asked = user and requests.find(request_id, user=user, session_digest=assurance.session_digest)
    if not user or not asked:
        if seconds := limits.count_refusal():
            return pages.too_many(request, seconds)
        _record_denied(user, assurance, request_id, "the question was not put to this session")
        return _not_asked(request)
    turned = forms.turned(requests.items(asked), request.POST)
    if request.method == "POST" and not turned:
        return _answer(request, asked, user, assurance)
    if asked.decided_at is not None:
        return _already_decided(request)
    if asked.expires_at <= timezone.now():
        return _expired(request)
    first = Selection.first(requests.items(asked))
    return _page(request, asked, turned or first, remember="remember" in request.POST)


def _page(
    request: TenantRequest, asked: ConsentRequest, selection: Selection, *, remember: bool = False
) -> HttpResponse:
    context = {**_context(asked, selection), "remember": remember}
    page = render(request, "consent/decide.html", context)
    return let_forms_lead_to([asked.shown["redirect_origin"]], page)


def _context(asked: ConsentRequest, selection: Selection) -> dict[str, Any]:
    facts, text, items = asked.shown["facts"], asked.text.text, requests.items(asked)
    words = wording.fill(text["words"], facts)
    return {
        "words": words,
        "facts": facts,
        "groups": choices.groups(items, selection, words),
        "has_choice": any(not item.is_fixed for item in items),
        "withheld": _withheld(text["withheld"], words),
        "may_remember": asked.shown["may_remember"],
        "opened": sorted(selection.opened),
        "shown": requests.digest(asked, selection.opened),
    }


def _withheld(
    withheld: list[dict[str, str]], words: Mapping[str, str]
) -> list[tuple[str, list[str]]]:
    """What the app will not get, by the sentence that says why (D5)."""
    return [
        (words[f"withheld_{why}"], shorts)
        for why in wording.Why
        if (shorts := [one["short"] for one in withheld if one["why"] == why])
    ]


def _answer(
    request: TenantRequest, asked: ConsentRequest, user: User, assurance: signin.Assurance
) -> HttpResponse:
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return pages.bad_request(request)
    try:
        services.decide(
            consent_request=asked,
            decision=form.cleaned_data["decision"],
            selection=forms.selection(request.POST),
            shown_digest=form.cleaned_data["shown"],
            user=user,
            session_digest=assurance.session_digest,
            aal=assurance.aal,
            remember=form.cleaned_data["remember"],
        )
    except services.NotShownError:
        reason = "the answer does not fit what is asked"
        _record_denied(user, assurance, asked.pk, reason, asked)
        return _changed(request)
    except services.AppNotActiveError:
        _record_denied(user, assurance, asked.pk, "the app is not active", asked)
        return _not_active(request)
    except services.ExpiredError:
        return _expired(request)
    except services.AlreadyDecidedError as error:
        # A second click on the same button is no second answer.
        if not error.is_same:
            return _already_decided(request)
    return SeeOther(asked.return_path)


def _record_denied(
    user: User | None,
    assurance: signin.Assurance,
    request_id: UUID,
    reason: str,
    asked: ConsentRequest | None = None,
) -> None:
    """What was refused here; app and patient only where they are this person's business."""
    record.record(
        events.Event(
            code=events.Code.CONSENT_DENY,
            outcome=events.Outcome.DENIED,
            actor=signin.actor(user, aal=assurance.aal) if user else events.Actor.anonymous(),
            client_id=asked.application.client_id if asked else "",
            patient=(asked.patient or "") if asked else "",
            object=f"ConsentRequest/{request_id}",
            reason=reason,
        )
    )


def _not_asked(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=404,
        title=_("There is nothing to decide here"),
        text=_("This question was put to someone else, or before you last signed in."),
        next_step=_("Go back to the app and start again."),
    )


def _expired(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=410,
        title=_("This question has expired"),
        text=_("It was open for too long. The app got no access."),
        next_step=_("Go back to the app and start again."),
    )


def _not_active(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=410,
        title=_("This app is not connected any more"),
        text=_("It was switched off here while you were asked. The app got no access."),
        next_step=_("If you need the app, ask your organization why."),
    )


def _already_decided(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=409,
        title=_("You have already answered"),
        text=_("Your first answer counts, and nothing was changed now."),
        next_step=_("Go back to the app. To answer anew, start again there."),
    )


def _changed(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=409,
        title=_("This was not what you were asked"),
        text=_("The answer does not fit the question, so it was not taken."),
        next_step=_("Go back, reload the page and answer again."),
    )
