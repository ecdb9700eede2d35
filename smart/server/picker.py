"""The pages where a person chooses a patient, and a visit, for an app (STND-02 to STND-05, D16).

They come between sign-in and consent, and lead back to the kept request.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from audit import events, record
from audit.record import AuditUnavailableError
from authfi.accounts import signin, stepup
from authfi.accounts.models import User
from authfi.lib import outbound, tenancy
from authfi.lib.going_on import SeeOther, let_forms_lead_to
from smart import access, care_evidence, record_lines, upstream
from smart.launch import own_record
from smart.models import AuthorizationRequest
from smart.policy.clinician_access import Rule
from smart.server import authorize_grant as granting
from smart.server import patient_context, picker_choice, picker_search, redirect_uris
from smart.server.errors import AccessDenied, InvalidRequest, error_redirect
from smart.server.picker_choice import AnsweredError, ChoiceRefusedError
from smart.server.picker_search import BadCursorError, Criteria, Cursor, Found
from smart.upstream import NotActiveError, UpstreamError
from tenants import pages
from tenants.http import TenantRequest

Picker = Callable[[TenantRequest, granting.Pending], HttpResponse]


class SearchForm(forms.Form):
    """Whom to look for; all of it may stay empty."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    born = forms.DateField(
        label=gettext_lazy("Date of birth"),
        required=False,
        widget=forms.DateInput(
            format="%Y-%m-%d", attrs={"class": "input", "type": "date", "autocomplete": "off"}
        ),
        error_messages={"invalid": gettext_lazy("Give a date such as 1979-07-22.")},
    )
    mrn = forms.CharField(
        label=gettext_lazy("Record number (MRN)"),
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )

    def keep_only(self, server: care_evidence.Server) -> None:
        """Drop the fields that the FHIR server cannot search by."""
        for field, parameter in picker_search.PARAMETER_OF.items():
            if not server.searches("Patient", parameter):
                del self.fields[field]

    def criteria(self) -> Criteria:
        """What was typed, once the form is valid."""
        typed = {name: value for name, value in self.cleaned_data.items() if value}
        if "born" in typed:
            typed["born"] = typed["born"].isoformat()
        return Criteria(**typed)


def _picker(page: Picker) -> Callable[..., HttpResponse]:
    """For the open request of this browser, whose person is signed in; nothing is kept (AUTZ-24).

    No trail, no names (V8).
    """

    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(page)
    def view(request: TenantRequest, request_id: UUID) -> HttpResponse:
        try:
            response = _open(request, request_id, page)
        except AuditUnavailableError:
            response = pages.unavailable(request)
        except (NotActiveError, UpstreamError):
            response = _no_answer(request)
        response["Cache-Control"] = "no-store"
        if "Location" in response:  # a page keeps "same-origin": its forms are sent with an origin
            response["Referrer-Policy"] = "no-referrer"
        return response

    return view


def _open(request: TenantRequest, request_id: UUID, page: Picker) -> HttpResponse:
    going_on = _go_on(request_id)
    if stepup.require(request) is not None:
        return going_on
    kept = (
        AuthorizationRequest.objects.select_related("application", "launch_context")
        .filter(pk=request_id, session_id=signin.assurance(request).session_id)
        .first()
    )
    if kept is None or kept.finished_at is not None:
        return going_on  # which says why, and records it
    if kept.expires_at <= timezone.now() or kept.launch_context is not None:
        return going_on
    asked = granting.Pending.of(kept)
    origin = redirect_uris.origin_of(asked.redirect_uri)
    try:
        return let_forms_lead_to([origin], page(request, asked))
    except ChoiceRefusedError:
        return _refused(request)
    except AnsweredError:
        return going_on
    except BadCursorError:
        return pages.bad_request(request)


@_picker
def patient(request: TenantRequest, asked: granting.Pending) -> HttpResponse:
    """Search for a patient and choose one."""
    user = cast("User", request.user)
    if not patient_context.chooses_patient(user):
        return _go_on(asked.kept.pk)
    if request.method != "POST":
        return _patients(request, asked, user)
    if "cancel" in request.POST:
        return _cancel(request, asked)
    if "search" in request.POST:
        return _search(request, asked, user)
    picker_choice.choose_patient(
        kept=asked.kept,
        user=user,
        patient=request.POST.get("patient", ""),
        actor=_actor(request),
    )
    return _go_on(asked.kept.pk)


@_picker
def encounter(request: TenantRequest, asked: granting.Pending) -> HttpResponse:
    """Choose a visit of the patient, or none."""
    user = cast("User", request.user)
    whose = own_record(user) or asked.kept.patient
    if not whose or not _may_open(user, str(whose)):
        return _go_on(asked.kept.pk)
    if request.method != "POST":
        return _visits(request, asked, str(whose))
    if "cancel" in request.POST:
        return _cancel(request, asked)
    picker_choice.choose_encounter(
        kept=asked.kept,
        patient=str(whose),
        encounter=request.POST.get("encounter", ""),
        actor=_actor(request),
    )
    return _go_on(asked.kept.pk)


def _may_open(user: User, whose: str) -> bool:
    return access.openable_sync(access.person_of_user(user), [whose])[whose].allowed


def _search(request: TenantRequest, asked: granting.Pending, user: User) -> HttpResponse:
    """Take in what was typed, and go on to a page whose address does not show it (O20)."""
    form = SearchForm(request.POST)
    form.keep_only(care_evidence.connected())
    if not form.is_valid():
        return _patients_page(request, asked, user, form, None, Cursor())
    sealed = picker_search.seal(Cursor(criteria=form.criteria()), asked.kept.pk)
    return SeeOther(f"{request.path}?page={sealed}")


def _patients(request: TenantRequest, asked: granting.Pending, user: User) -> HttpResponse:
    server, person = care_evidence.connected(), access.person_of_user(user)
    cursor = picker_search.unseal(request.GET.get("page", ""), asked.kept.pk)
    form = SearchForm(initial=asdict(cursor.criteria))
    form.keep_only(server)
    found = None
    if "page" in request.GET or Rule.ALL not in access.rules_of(person):
        found = outbound.run(picker_search.patients(tenancy.current(), person, server, cursor))
        _record_patients(request, asked, cursor.criteria, found)
    return _patients_page(request, asked, user, form, found, cursor)


def _patients_page(
    request: TenantRequest,
    asked: granting.Pending,
    user: User,
    form: SearchForm,
    found: Found | None,
    cursor: Cursor,
) -> HttpResponse:
    context = {
        "app": asked.kept.application.name,
        "form": form,
        "found": found,
        "is_filtered": cursor.criteria != Criteria(),
        "is_unbounded": Rule.ALL in access.rules_of(access.person_of_user(user)),
        **_paging(request, asked, cursor, found.following if found else None),
    }
    return render(request, "smart/picker_patient.html", context)


def _visits(request: TenantRequest, asked: granting.Pending, whose: str) -> HttpResponse:
    server = care_evidence.connected()
    cursor = picker_search.unseal(request.GET.get("page", ""), asked.kept.pk)
    lines, following = outbound.run(picker_search.visits(server, whose, cursor))
    who = upstream.read("Patient", whose)
    user = cast("User", request.user)
    record.record(
        _shown(request, asked, whose, "Encounter", details={"returned": len(lines)}),
    )
    context = {
        "app": asked.kept.application.name,
        "patient": record_lines.patient_line(who) if who else None,
        "is_own": own_record(user) is not None,
        "visits": lines,
        "change_url": reverse("choose-patient", args=[asked.kept.pk]),
        **_paging(request, asked, cursor, following),
    }
    return render(request, "smart/picker_encounter.html", context)


def _paging(
    request: TenantRequest, asked: granting.Pending, cursor: Cursor, following: Cursor | None
) -> dict[str, Any]:
    """Number of the page and the addresses around it; what was typed stays in them, sealed."""

    def url(to: Cursor) -> str:
        return f"{request.path}?page={picker_search.seal(to, asked.kept.pk)}"

    return {
        "page": cursor.page,
        "first_url": url(Cursor(criteria=cursor.criteria)) if cursor.page > 1 else "",
        "next_url": url(following) if following else "",
    }


def _record_patients(
    request: TenantRequest, asked: granting.Pending, criteria: Criteria, found: Found
) -> None:
    """Each name that is shown, in that patient's own trail (A3); a search that finds nobody too."""
    query = "&".join(f"{name}={value}" for name, value in criteria.params())
    shown: Sequence[events.Event] = [
        _shown(request, asked, line.id, "Patient", found.verdicts[line.id].rule, {"query": query})
        for line in found.lines
    ]
    details = {"query": query, "returned": 0}
    record.record(*(shown or [_shown(request, asked, "", "Patient", details=details)]))


def _shown(
    request: TenantRequest,
    asked: granting.Pending,
    whose: str,
    kind: str,
    rule: str = "",
    details: dict[str, Any] | None = None,
) -> events.Event:
    return events.Event(
        code=events.Code.FHIR_SEARCH_ALLOW,
        outcome=events.Outcome.SUCCESS,
        actor=_actor(request),
        client_id=asked.kept.application.client_id,
        patient=whose,
        object=kind,
        rule=rule,
        reason="shown in the picker",
        details={"request": str(asked.kept.pk), **(details or {})},
    )


def _cancel(request: TenantRequest, asked: granting.Pending) -> HttpResponse:
    """The person chose nobody: the app is told that they said no (RFC 6749 4.1.2.1)."""
    try:
        granting.deny(asked)
    except InvalidRequest as error:
        raise AnsweredError from error
    refusal = AccessDenied("the person chose no record")
    record.record(
        events.Event(
            code=events.Code.LAUNCH_DENY,
            outcome=events.Outcome.DENIED,
            actor=_actor(request),
            client_id=asked.kept.application.client_id,
            reason=refusal.description,
            rule=refusal.error,
        )
    )
    return error_redirect(asked.redirect_uri, refusal, asked.state)


def _actor(request: TenantRequest) -> events.Actor:
    return signin.actor(cast("User", request.user), aal=signin.assurance(request).aal)


def _go_on(request_id: UUID) -> HttpResponse:
    """Back to the kept request, which asks for what is still missing."""
    return SeeOther(reverse("authorize-continue", args=[request_id]))


def _refused(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=403,
        title=_("This cannot be chosen"),
        text=_("You may not open this record for the app. The attempt was recorded."),
        next_step=_("Go back, reload the page and choose from the list."),
    )


def _no_answer(request: TenantRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=502,
        title=_("The record server does not answer"),
        text=_("Nobody can be chosen just now. Nothing was changed."),
        next_step=_("Wait a few seconds and load the page again."),
    )
