"""Apps and browsers for the authorization server's tests."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from smart import launch
from smart.models import Application, HealthcareModule
from smart.server.register import register_application
from tests.accounts.conftest import dr_ada, pat
from tests.cast import ADMIN, Person, sign_in
from tests.forms import fields_of

__all__ = ["dr_ada", "pat"]

REDIRECT = "https://app.example/cb"
LAUNCH = "https://app.example/launch?x=1"
ORIGIN = "https://app.example"
SCOPES = "openid fhirUser launch launch/patient launch/encounter patient/*.cruds offline_access"


def connect(tenant: TenantRef, scopes: str = "") -> None:
    """Switch healthcare on."""
    with tenancy.bind(tenant):
        HealthcareModule(
            preset="custom",
            connection={"fhir_base": "http://127.0.0.1:9/fhir", "auth": {"mode": "none"}},
            capabilities={},
            scopes=scopes,
            checked_at=timezone.now(),
        ).save()


def an_app(tenant: TenantRef, client_id: str = "growth-chart", **changed) -> Application:
    """A public app with EHR and standalone launch."""
    facts = {
        "client_id": client_id,
        "name": "Growth Chart",
        "client_type": "public",
        "redirect_uris": [REDIRECT],
        "launch_uris": [LAUNCH],
        "scopes": SCOPES,
        "grant_types": ["authorization_code"],
        "allowed_origins": [ORIGIN],
    }
    with tenancy.bind(tenant):
        return register_application(**{**facts, **changed})[0]


def trail(tenant: TenantRef, prefix: str = "") -> list[tuple[str, str, dict[str, Any]]]:
    """Code, outcome and details of the tenant's events, oldest first."""
    with tenancy.bind(tenant):
        rows = AuditEvent.objects.filter(code__startswith=prefix).order_by("seq")
        return [(row.code, row.outcome, dict(row.details)) for row in rows]


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return dict(claims)


def answer_of(response) -> dict[str, str]:
    """The parameters an app is redirected with."""
    assert response.status_code == 303, response.content
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()
    }


@dataclass
class Flow:
    """One app's way through authorize, consent and token, in one browser."""

    tenant: TenantRef
    client: Client = field(default_factory=Client)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    client_id: str = "growth-chart"

    @property
    def issuer(self) -> str:
        return f"http://localhost:8000/t/{self.tenant.slug}"

    @property
    def path(self) -> str:
        return f"/t/{self.tenant.slug}"

    def parameters(self, **changed: str | None) -> dict[str, str]:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest())
        values = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "scope": "launch/patient openid fhirUser patient/*.rs",
            "state": "s+t/a=t&e é",
            "aud": f"{self.issuer}/fhir",
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **changed,
        }
        return {name: value for name, value in values.items() if value is not None}

    def authorize(self, **changed: str | None):
        return self.client.get(
            f"{self.path}/oauth/authorize?{urlencode(self.parameters(**changed))}"
        )

    def begin(self, **changed: str | None) -> str:
        """Authorize; the continuation's path."""
        response = self.authorize(**changed)
        assert response.status_code == 303, response.content
        assert response["Location"].startswith(f"{self.path}/oauth/authorize/"), response[
            "Location"
        ]
        return str(response["Location"])

    def decide(self, going_on: str, decision: str = "allow", **changed: object):
        """From the continuation through the consent page, as it is ticked, to the answer."""
        response = self.client.get(going_on)
        assert response.status_code == 303, response.content
        if response["Location"].endswith("/encounter"):
            self.choose(response["Location"], encounter="")
            response = self.client.get(going_on)
        if "/consent/" not in response["Location"]:
            return response
        page = self.client.get(response["Location"])
        assert page.status_code == 200, page.content
        form = {**fields_of(page), **changed, "decision": decision}
        answered = self.client.post(response["Location"], form)
        assert answered.status_code == 303, answered.content
        return self.client.get(answered["Location"])

    def choose(self, page: str, **form: str) -> None:
        """Send a picker's form; it leads back to the continuation."""
        chosen = self.client.post(page, form)
        assert chosen.status_code == 303, chosen.content
        assert chosen["Location"] == page.rpartition("/")[0]

    def code(self, **changed: str | None) -> str:
        answer = answer_of(self.decide(self.begin(**changed)))
        assert "code" in answer, answer
        return answer["code"]

    def exchange(self, code: str, headers: dict[str, str] | None = None, **changed: str | None):
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": self.verifier,
            "client_id": self.client_id,
            **changed,
        }
        return self.post({n: v for n, v in form.items() if v is not None}, headers)

    def post(self, form: dict[str, str] | str, headers: dict[str, str] | None = None):
        body = form if isinstance(form, str) else urlencode(form)
        return self.client.post(
            f"{self.path}/oauth/token",
            body,
            content_type="application/x-www-form-urlencoded",
            headers=headers or {},
        )

    def launch(self, person: Person, app: Application, **changed) -> str:
        """An EHR opens a launch; its handle."""
        facts = {"patient": "456", "encounter": "e1", "members": {}} | changed
        with tenancy.bind(self.tenant):
            opened = launch.open_launch(application=app, user=person.user, actor=ADMIN, **facts)
        return opened.handle


def refused(response, error, status=400):
    """A JSON refusal as RFC 6749 5.2 has it; its description."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    body = response.json()
    assert body["error"] == error
    assert set(body) <= {"error", "error_description"}
    return body.get("error_description", "")


@pytest.fixture
def app(mercy):
    """Mercy's growth chart app; Mercy has a FHIR server."""
    connect(mercy)
    return an_app(mercy)


@pytest.fixture
def flow(mercy, app):
    """Nobody is signed in."""
    return Flow(mercy)


@pytest.fixture
def pat_flow(flow, pat):
    """Pat is signed in."""
    sign_in(flow.client, pat)
    return flow


@pytest.fixture
def ada_flow(flow, dr_ada):
    """Dr. Ada is signed in."""
    sign_in(flow.client, dr_ada)
    return flow
