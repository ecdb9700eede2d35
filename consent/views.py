"""The consent page: what an app asks for, and the person's answer (C1, C4, O7, O8)."""

from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from csp.decorators import csp_update
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit import events, record
from authfi.accounts import signin
from authfi.accounts.models import User
from consent import requests, services, wording
from consent.forms import DecisionForm
from consent.models import ConsentRequest
from tenants import pages
from tenants.http import TenantRequest

#: The query parameter that brings the answered question's id back to `return_path`.
ANSWER_PARAMETER = "consent_request"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: TenantRequest, request_id: UUID) -> HttpResponse:
    """Show the question; take the answer and go back to who asked."""
    user, assurance = signin.person(request), signin.assurance(request)
    asked = user and requests.find(request_id, user=user, session_digest=assurance.session_digest)
    if not user or not asked:
        _record_denied(user, assurance, request_id, "the question was not put to this session")
        return _not_asked(request)
    if request.method == "POST":
        return _answer(request, asked, user, assurance)
    if asked.decided_at is not None:
        return _already_decided(request)
    if asked.expires_at <= timezone.now():
        return _expired(request)
    return _page(request, asked)


def _page(request: TenantRequest, asked: ConsentRequest) -> HttpResponse:
    # Chromium holds the whole chain of redirects after the form against `form-action`.
    show = csp_update({"form-action": [asked.shown["redirect_origin"]]})(
        lambda _: render(request, "consent/decide.html", _context(asked))
    )
    return cast("HttpResponse", show(request))


def _context(asked: ConsentRequest) -> dict[str, Any]:
    facts, text = asked.shown["facts"], asked.text.text
    words = wording.fill(text["words"], facts)
    groups = [
        {
            "kind": kind,
            "heading": words[kind],
            "items": [item for item in text["items"] if item["kind"] == kind],
        }
        for kind in wording.Kind
        if any(item["kind"] == kind for item in text["items"])
    ]
    return {"words": words, "facts": facts, "groups": groups, "shown": requests.digest(asked)}


def _answer(
    request: TenantRequest, asked: ConsentRequest, user: User, assurance: signin.Assurance
) -> HttpResponse:
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return pages.bad_request(request)
    decision = form.cleaned_data["decision"]
    try:
        services.decide(
            consent_request=asked,
            decision=decision,
            shown_digest=form.cleaned_data["shown"],
            user=user,
            session_digest=assurance.session_digest,
            aal=assurance.aal,
        )
    except services.NotShownError:
        reason = "the answer does not fit what is asked"
        _record_denied(user, assurance, asked.pk, reason, asked)
        return _changed(request)
    except services.ExpiredError:
        return _expired(request)
    except services.AlreadyDecidedError as error:
        # A second click on the same button is no second answer.
        if error.consent.decision != decision:
            return _already_decided(request)
    response = HttpResponseRedirect(_return_url(asked))
    response.status_code = 303
    return response


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


def _return_url(asked: ConsentRequest) -> str:
    joint = "&" if "?" in asked.return_path else "?"
    return asked.return_path + joint + urlencode({ANSWER_PARAMETER: asked.pk})


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
