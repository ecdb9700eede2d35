"""Pat, a patient, and Dr. Ada, a clinician, signed in at Mercy; the growth chart app asks them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from django.test import Client, RequestFactory

from audit.models import AuditEvent
from authfi.accounts import sessions, signin
from authfi.accounts.models import User
from authfi.accounts.people import create_person
from authfi.lib.tenancy import TenantRef
from consent import requests
from consent.choices import Item
from consent.models import ConsentRequest
from smart.models import Application
from tenants.http import TenantRequest
from tenants.models import Tenant

VIEW_LABS = Item(
    scope="patient/Observation.rs?category=laboratory",
    kind="view",
    short="View your laboratory results",
    long="The app can look for these records and open them.",
    sensitive=False,
)
CHANGE_ALLERGIES = Item(
    scope="patient/AllergyIntolerance.cu",
    kind="change",
    short="Add and change your allergies",
    long="It can add new ones. It can change them.",
    sensitive=True,
)
WHO = Item(
    scope="openid",
    kind="know",
    short="Know who you are",
    long="The app learns that it is you.",
    sensitive=False,
    is_fixed=True,
)
AWAY = Item(
    scope="offline_access",
    kind="offline",
    short="Keep its access when you are away",
    long="The app can use this access when you do not use the app.",
    sensitive=False,
)


def kind_of_record(scope: str, **changed: Any) -> Item:
    """A line that is looked at."""
    facts = {"kind": "view", "short": f"View {scope}", "long": "", "sensitive": False}
    return Item(scope=scope, **{**facts, **changed})


#: A wildcard with types, one of them by category, one that goes with another, one very private.
ALL_RECORDS = kind_of_record(
    "patient/*.rs",
    parts=(
        kind_of_record("patient/Device.rs"),
        kind_of_record("patient/DeviceRequest.rs", needs="patient/Device.rs"),
        kind_of_record("patient/FamilyMemberHistory.rs", sensitive=True),
        kind_of_record(
            "patient/Observation.rs",
            parts=(
                kind_of_record("patient/Observation.rs?category=laboratory"),
                kind_of_record("patient/Observation.rs?category=sdoh", sensitive=True),
            ),
        ),
    ),
)


@dataclass(frozen=True)
class SignedIn:
    """A person's browser, and a request that came from it."""

    user: User
    request: TenantRequest
    client: Client

    @property
    def session_digest(self) -> str:
        """What names the session."""
        return signin.assurance(self.request).session_digest


def sign_in(tenant: TenantRef, user: User, *, check_csrf: bool = False) -> SignedIn:
    """A new session of the person, with its browser."""
    request = cast("TenantRequest", RequestFactory().get("/"))
    request.tenant = Tenant.objects.get(pk=tenant.id)
    request.session = sessions.SessionStore()
    signin.sign_in(request, user, [signin.PASSWORD])
    client = Client(enforce_csrf_checks=check_csrf)
    client.cookies[sessions.cookie_name(tenant.slug)] = str(request.session.session_key)
    return SignedIn(user=user, request=request, client=client)


@pytest.fixture
def pat(bound: TenantRef) -> SignedIn:
    """A patient."""
    user = create_person(
        email="pat@mercy.example", name="Pat Doe", roles=["patient"], fhir_user="Patient/456"
    )
    return sign_in(bound, user)


@pytest.fixture
def dr_ada(bound: TenantRef) -> SignedIn:
    """A doctor."""
    user = create_person(
        email="ada@mercy.example", name="Dr. Ada", roles=["doctor"], fhir_user="Practitioner/1"
    )
    return sign_in(bound, user)


@pytest.fixture
def growth_chart(bound: TenantRef) -> Application:
    """An app."""
    return Application.objects.create(
        client_id="growth-chart",
        name="Growth Chart",
        client_type="public",
        grant_types="authorization_code",
        redirect_uris="https://growth.example/callback",
        access_token_seconds=900,
    )


Ask = Callable[..., ConsentRequest]


@pytest.fixture
def ask(growth_chart: Application) -> Ask:
    """Opens a request; keywords replace parts of it."""

    def opened(who: SignedIn, **changes: Any) -> ConsentRequest:
        arguments: dict[str, Any] = {
            "application": growth_chart,
            "user": who.user,
            "reader": "patient",
            "patient": "456",
            "patient_name": "Pat Doe",
            "items": [VIEW_LABS, WHO],
            "redirect_origin": "https://growth.example",
            "return_path": f"/t/{who.request.tenant.slug}/oauth/authorize?request=7",
            **changes,
        }
        return requests.open_request(who.request, **arguments)

    return opened


def events_of(code: str) -> list[AuditEvent]:
    """The bound tenant's events of one code, the last first."""
    return list(AuditEvent.objects.filter(code=code))
