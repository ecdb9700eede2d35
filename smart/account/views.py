"""A person's own page: the apps that act for them, and how to stop one (DISC-15, REVO-04, REVO-05).

Every change is a form of its own page, which tells the consequence before the button.
"""

from typing import Any, Final, cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from authfi.accounts import sessions, signin
from authfi.accounts.decorators import signed_in
from authfi.accounts.models import User
from authfi.lib.going_on import SeeOther
from consent import choices, forms
from consent.choices import Item, Selection
from consent.models import Consent
from consent.wording import Kind
from smart.account import app_access, changes, wording
from smart.account.app_access import Access
from smart.models import HealthcareModule
from smart.scopes.choices import choices as lines_of
from smart.scopes.syntax import parse_scopes
from smart.server.authorize_consent import item
from tenants import pages

#: In the session: what was done just now, to be told on the next page.
_DONE: Final = "account_done"


@require_safe
@never_cache
@signed_in
def account(request: HttpRequest) -> HttpResponse:
    """What has access now, what is remembered, what was decided before."""
    user = _person(request)
    found, reader = app_access.overview(user), app_access.reader_of(user)
    words = wording.page(reader)
    context = {
        "live": [wording.live(one, reader) for one in found.live],
        "remembered": [wording.past(one) for one in found.remembered],
        "past": [wording.past(one) for one in found.past],
        "words": words,
        "done": words[f"done_{done}"] if (done := sessions.of(request).pop(_DONE, "")) else "",
    }
    return render(request, "account/apps.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@signed_in
def end(request: HttpRequest, consent_id: UUID) -> HttpResponseBase:
    """GET tells what follows, POST ends it here and now."""
    user = _person(request)
    consents = app_access.find(user, consent_id)
    if not consents:
        return _nothing(request)
    if request.method == "POST":
        changes.end_access(consents=consents, actor=_actor(request, user))
        return _back(request, "ended")
    live = _live(user, consents)
    context = {
        "app": consents[0].application.name,
        "record": app_access.record_name(consents[0]),
        "is_live": live is not None,
        "words": wording.page(app_access.reader_of(user)),
    }
    return render(request, "account/end.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@signed_in
def change(request: HttpRequest, consent_id: UUID) -> HttpResponseBase:
    """Tick off what the app may no longer see; what is left counts at once."""
    user = _person(request)
    live = _live(user, app_access.find(user, consent_id))
    if live is None:
        return _nothing(request)
    items = _items(live, user)
    selection, turned = forms.selection(request.POST), forms.turned(items, request.POST)
    if request.method != "POST" or turned:
        everything = Selection(ticked=frozenset(one.scope for one in items))
        return _change_page(request, live, items, turned or everything)
    chosen = choices.chosen(items, selection)
    if choices.is_refusal(items, chosen) or not changes.narrow_access(
        access=live, chosen=parse_scopes(" ".join(chosen)), actor=_actor(request, user)
    ):
        return HttpResponseRedirect(reverse("account-end", args=[consent_id]))
    return _back(request, "changed")


def _back(request: HttpRequest, done: str) -> HttpResponse:
    """To the list, which tells once what was done."""
    sessions.of(request)[_DONE] = done
    return SeeOther(reverse("account"))


def _change_page(
    request: HttpRequest, live: Access, items: tuple[Item, ...], selection: Selection
) -> HttpResponse:
    words = wording.page(app_access.reader_of(_person(request)))
    context: dict[str, Any] = {
        "app": live.application.name,
        "record": live.record,
        "groups": choices.groups(items, selection, {**words, Kind.CHANGE: words["change_kind"]}),
        "opened": sorted(selection.opened),
        "words": words,
    }
    return render(request, "account/change.html", context)


def _items(live: Access, user: User) -> tuple[Item, ...]:
    module = HealthcareModule.objects.first()
    lines = lines_of(live.scopes, module.capabilities if module else ())
    reader = app_access.reader_of(user)
    return tuple(item(line, reader) for line in lines)


def _live(user: User, consents: list[Consent]) -> Access | None:
    named = {consent.pk for consent in consents}
    return next((one for one in app_access.live_access(user) if one.consent.pk in named), None)


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


def _actor(request: HttpRequest, user: User) -> Any:
    return signin.actor(user, aal=signin.assurance(request).aal)


def _nothing(request: HttpRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=404,
        title=_("There is nothing to stop here"),
        text=_("This app has no access in your name, or you have stopped it already."),
        next_step=_("Go back to your apps."),
    )
