"""The EHR of a hospital of the demo: patients, charts, and launching apps (EHRL-01, contract).

It stands for the hospital's own record system, which AuthFI does not replace: it reads the same
FHIR server beside AuthFI. Its people sign in at `{issuer}/login`; a launch handle signs nobody in.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from urllib.parse import urlsplit

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from authfi.accounts import signin, stepup
from authfi.accounts.models import CLINICAL_ROLES, User
from authfi.accounts.people import roles_of
from authfi.lib.going_on import SeeOther, let_forms_lead_to
from smart import record_lines, upstream
from smart.demo import charts
from smart.launch import LaunchRefusedError, open_launch
from smart.models import Application
from smart.server.redirect_uris import origin_of
from tenants import pages

View = Callable[..., HttpResponseBase]

PATIENTS_SHOWN = "50"
OBSERVATIONS_READ = "500"
CATEGORIES = (("laboratory", "Laboratory results"), ("vital-signs", "Vital signs"))


def ehr_page(view: View) -> View:
    """For clinicians who signed in with two factors, at a hospital whose server answers."""

    @never_cache
    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if asked := stepup.require(request, aal=2):
            return asked
        if not roles_of(cast("User", request.user)) & CLINICAL_ROLES:
            return pages.forbidden(request)
        try:
            return view(request, *args, **kwargs)
        except upstream.NotActiveError:
            raise Http404 from None
        except upstream.UpstreamError:
            return pages.error_page(
                request,
                status=502,
                title=_("The record server does not answer"),
                text=_("The chart cannot be shown just now."),
                next_step=_("Wait a few seconds and load the page again."),
            )

    return wrapper


@require_safe
@ehr_page
def patients(request: HttpRequest) -> HttpResponse:
    """Patients by name."""
    name = request.GET.get("name", "").strip()
    asked = {"_count": PATIENTS_SHOWN, "_sort": "family", **({"name": name} if name else {})}
    found = [record_lines.patient_line(patient) for patient in upstream.search("Patient", asked)]
    return render(request, "demo/patients.html", {"patients": found, "name": name})


@require_safe
@ehr_page
def chart(request: HttpRequest, patient_id: str) -> HttpResponse:
    """A patient's chart."""
    return _chart(request, _patient(patient_id))


@require_POST
@ehr_page
def launch(request: HttpRequest, patient_id: str) -> HttpResponse:
    """Register a launch context, as an EHR's back end does, and open the app with its handle."""
    patient = _patient(patient_id)
    app = _launchable().filter(client_id=request.POST.get("client_id", "")).first()
    encounter = upstream.read("Encounter", request.POST.get("encounter", ""))
    if app is None or encounter is None:
        raise Http404
    if encounter.get("subject", {}).get("reference") != f"Patient/{patient['id']}":
        raise Http404
    user = cast("User", request.user)
    try:
        opened = open_launch(
            application=app,
            user=user,
            patient=patient["id"],
            encounter=encounter["id"],
            members={},
            actor=signin.actor(user, aal=signin.assurance(request).aal),
        )
    except LaunchRefusedError as refused:
        return _chart(request, patient, refusal=refused.reason, status=409)
    return SeeOther(opened.launch_url)


def _chart(
    request: HttpRequest, patient: charts.Resource, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    """The page; its forms may lead to the apps, which Chromium checks along redirects."""
    apps = list(_launchable())
    context = {
        "patient": record_lines.patient_line(patient),
        "visits": record_lines.visit_lines(_records("Encounter", patient)),
        "results": [
            (title, charts.result_lines(_records("Observation", patient, category=category)))
            for category, title in CATEGORIES
        ],
        "apps": [_app_line(app) for app in apps],
        "refusal": refusal,
    }
    origins = sorted({origin_of(uri) for app in apps for uri in app.launch_uris.split()})
    page = render(request, "demo/chart.html", context, status=status)
    return let_forms_lead_to(origins, page)


def _app_line(app: Application) -> dict[str, str]:
    """What an app is, so that two of one name are told apart."""
    kind = _("Runs in the browser, from") if app.is_public else _("Runs on a server of its own at")
    host = urlsplit(app.launch_uris.split()[0]).netloc
    return {"name": app.name, "client_id": app.client_id, "kind": kind, "host": host}


def _patient(patient_id: str) -> charts.Resource:
    patient = upstream.read("Patient", patient_id)
    if patient is None:
        raise Http404
    return patient


def _records(resource_type: str, patient: charts.Resource, **narrowed: str) -> list[dict[str, Any]]:
    asked = {"patient": patient["id"], "_count": OBSERVATIONS_READ, **narrowed}
    return upstream.search(resource_type, asked)


def _launchable() -> QuerySet[Application]:
    """Apps that can be started from a chart."""
    return (
        Application.objects.filter(state=Application.State.ACTIVE)
        .exclude(launch_uris="")
        .order_by("name")
    )
