"""Pat and an app that Pat allowed, with the token and the refresh token it got."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from authfi.lib import tenancy
from consent.models import Consent
from smart.models import Grant
from tests.cast import sign_in
from tests.server.conftest import Flow, an_app, connect, dr_ada, pat

__all__ = ["dr_ada", "pat"]

SCOPE = "launch/patient openid fhirUser patient/*.rs offline_access"


@dataclass
class Allowed:
    """An app with access, and the browser of the person who gave it."""

    flow: Flow
    body: dict[str, Any]

    @property
    def client(self) -> Client:
        return self.flow.client

    @property
    def path(self) -> str:
        return f"{self.flow.path}/account"

    @property
    def consent(self) -> Consent:
        """The latest decision."""
        with tenancy.bind(self.flow.tenant):
            return Consent.objects.latest("decided_at")

    @property
    def grant(self) -> Grant:
        """The latest grant."""
        with tenancy.bind(self.flow.tenant):
            return Grant.objects.latest("created_at")

    def refresh(self):
        """The app refreshes; the response."""
        token = self.body["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "growth-chart"}
        return self.flow.post(form)


def allowed(tenant, person, scope=SCOPE, **changed) -> Allowed:
    """The person signs in and allows the app; it exchanges its code."""
    flow = Flow(tenant, **changed)
    sign_in(flow.client, person)
    response = flow.exchange(flow.code(scope=scope))
    assert response.status_code == 200, response.content
    return Allowed(flow, response.json())


@pytest.fixture
def growth_chart(mercy):
    """Mercy's app, which may refresh."""
    connect(mercy)
    return an_app(mercy, grant_types=["authorization_code", "refresh_token"])


@pytest.fixture
def pats(mercy, growth_chart, pat) -> Allowed:
    """Pat let Growth Chart in."""
    return allowed(mercy, pat)
