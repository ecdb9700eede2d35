"""Two hospitals for the matrix: one whose ids are tried, one whose people and apps try them."""

import secrets
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent, AuditHead
from authfi.accounts import invitations, people
from authfi.accounts.models import Invitation
from authfi.lib import tenancy
from consent.models import Consent
from smart import tokens
from smart.models import Grant, HealthcareModule, LaunchContext
from smart.scopes.syntax import MANAGEMENT_SCOPES
from smart.server import picker_search
from smart.server.register import register_application
from tenants.http import fhir_base, management_audience
from tests.cast import ADMIN, Person, a_person, let_patients_sign_in_with_a_password, sign_in
from tests.conftest import fresh_tenant
from tests.fhir_server import FhirServer
from tests.server.confidential import a_confidential_app, basic
from tests.server.conftest import SCOPES, Flow, an_app
from tests.tenants.routes import CHALLENGE

#: In every name that the hidden hospital has; in no answer to anybody else.
CANARY = "Quillfeather"
INTERACTIONS = [
    *("read", "vread", "history-instance", "history-type", "search-type"),
    *("create", "update", "delete"),
]
PARAMETERS = ["_id", "patient", "subject", "name", "birthdate", "identifier", "code"]


class House:
    """A hospital with a FHIR server, apps, and people who are signed in."""

    def __init__(self, name: str, family: str, upstream: FhirServer) -> None:
        self.tenant, self.family, self.upstream = fresh_tenant(name), family, upstream
        tenant = self.tenant
        served = {"interactions": INTERACTIONS, "search_params": PARAMETERS}
        with tenancy.bind(tenant):
            HealthcareModule.objects.create(
                preset="custom",
                connection={
                    "fhir_base": upstream.base,
                    "auth": {"mode": "none"},
                    "software": "Fake FHIR 7",
                    "fhir_version": "4.0.1",
                },
                capabilities=dict.fromkeys(("Patient", "Observation", "Encounter"), served),
                checked_at=timezone.now(),
            )
        let_patients_sign_in_with_a_password(tenant)
        scopes = f"{SCOPES} user/*.cruds"
        kinds = ["authorization_code", "refresh_token"]
        client_id = "growth-chart" if family != CANARY else f"{CANARY}-chart"
        self.app = an_app(
            tenant, client_id, name=f"{family} Chart", grant_types=kinds, scopes=scopes
        )
        secret_id = "order-entry" if family != CANARY else f"{CANARY}-orders"
        self.secret_app, self.secret = a_confidential_app(tenant, secret_id)
        self.basic = basic(secret_id, self.secret)["Authorization"]
        self.patient = f"{family.lower()}-789"
        self.pat = self.person("patient", mfa=False, fhir_user=f"Patient/{self.patient}")
        self.ada = self.person("doctor", fhir_user="Practitioner/1")
        self.mia = self.person("admin")
        people_here = {"patient": self.pat, "doctor": self.ada, "admin": self.mia}
        self.flows = {name: self.browser(person) for name, person in people_here.items()}
        with tenancy.bind(tenant):
            self.api_token = self._api_token()

    def person(self, role: str, **facts: Any) -> Person:
        """Somebody whose name is the family's."""
        email = f"{role}-{secrets.token_hex(3)}@{self.family.lower()}.example"
        return a_person(self.tenant, role, email=email, name=f"{role} {self.family}", **facts)

    def _api_token(self) -> str:
        scopes = " ".join(sorted(MANAGEMENT_SCOPES))
        client_id = f"{self.family}-admin-api"
        register_application(
            client_id=client_id,
            name=f"{self.family} Admin API",
            client_type="confidential",
            scopes=scopes,
            grant_types=["client_credentials"],
        )
        return tokens.issue(
            client_id=client_id,
            subject=client_id,
            scope=scopes,
            audience=management_audience(),
            seconds=3600,
        )[0]

    def browser(self, person: Person) -> Flow:
        """That person's browser, signed in."""
        flow = Flow(self.tenant, client_id=self.app.client_id)
        sign_in(flow.client, person)
        return flow

    def seq(self) -> int:
        """How long the trail is: nothing changes without an event."""
        with tenancy.bind(self.tenant):
            return AuditHead.objects.get(tenant_id=self.tenant.id).seq


def ids_of(house: House) -> dict[str, str]:
    """An id of each kind of that hospital, made the way it is made in life."""
    tenant, flow, ada = house.tenant, house.flows["patient"], house.flows["doctor"]
    scope = "launch/patient openid fhirUser patient/*.cruds offline_access"
    issued = flow.exchange(flow.code(scope=scope)).json()
    waiting = flow.begin(scope=scope)
    asked = flow.client.get(waiting)["Location"]
    picking = ada.begin(
        scope="launch/patient openid fhirUser patient/*.rs", code_challenge=CHALLENGE
    )
    posted = Client().post(
        f"{flow.path}/oauth/authorize",
        urlencode(flow.parameters()),
        content_type="application/x-www-form-urlencoded",
    )["Location"]
    with tenancy.bind(tenant):
        address = f"guest-{secrets.token_hex(3)}@quill.example"
        guest = people.create_person(email=address, name=f"Guest {house.family}", roles=["nurse"])
        link = invitations.invite(user=guest, actor=ADMIN)
        picked = UUID(picking.rpartition("/")[2])
        rows = {
            "consent": Consent.objects.filter(decision="allow").latest("decided_at"),
            "grant": Grant.objects.latest("created_at"),
            "event": AuditEvent.objects.filter(code="token.issue").latest("seq"),
            "user": house.pat.user,
            "invitation": Invitation.objects.latest("expires_at"),
        }
        found = {name: str(row.pk) for name, row in rows.items()}
        page = picker_search.seal(picker_search.Cursor(), picked)
    code = flow.code(scope=scope, code_challenge=CHALLENGE)
    launch = ada.launch(house.ada, house.app, patient=house.patient, encounter="e1")
    with tenancy.bind(tenant):
        found["launch_context"] = str(LaunchContext.objects.latest("expires_at").pk)
    return found | {
        "tenant": str(tenant.id),
        "slug": tenant.slug,
        "base": fhir_base(tenant),
        "consent_request": asked.rpartition("/")[2],
        "authorization": waiting.rpartition("/")[2],
        "picking": str(picked),
        "posted": posted.rpartition("/")[2],
        "picker_page": page,
        "email": house.pat.email,
        "family": house.family,
        "app": house.app.client_id,
        "secret_app": house.secret_app.client_id,
        "secret": house.secret,
        "basic": house.basic,
        "patient": house.patient,
        "encounter": f"{house.family.lower()}-e1",
        "observation": f"{house.family.lower()}-o1",
        "launch": launch,
        "code": code,
        "invitation_handle": link.rpartition("/")[2],
        **{name: issued[name] for name in ("access_token", "refresh_token", "id_token")},
        "api_token": house.api_token,
    }
