"""A confidential app for the tests of endpoints that want one."""

import base64

from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from smart.models import Application
from smart.server.register import register_application
from tests.server.conftest import REDIRECT, SCOPES, Flow

CLIENT_ID = "order-entry"
NO_PKCE = {"code_challenge": None, "code_challenge_method": None}


def a_confidential_app(
    tenant: TenantRef, client_id: str = CLIENT_ID, *, scopes: str = SCOPES
) -> tuple[Application, str]:
    """An app that people launch, and its secret."""
    with tenancy.bind(tenant):
        app, secret = register_application(
            client_id=client_id,
            name="Order Entry",
            client_type="confidential",
            redirect_uris=[REDIRECT],
            scopes=scopes,
            grant_types=["authorization_code", "refresh_token"],
        )
    assert secret
    return app, secret


def mark(tenant: TenantRef, *, without_pkce: bool = True) -> None:
    """Mark the app as a SMART 1 app, or take the mark away."""
    with tenancy.bind(tenant):
        Application.objects.filter(client_id=CLIENT_ID).update(without_pkce=without_pkce)


def basic(client_id: str, secret: str) -> dict[str, str]:
    """HTTP Basic as most clients send it: the raw pair in base64."""
    sent = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {sent}"}


def exchange(flow: Flow, code: str, headers: dict[str, str], **form: str | None):
    """Exchange a code; nobody's `client_id` is in the form unless given."""
    return flow.exchange(code, headers, **{"client_id": None, **form})


def refresh(flow: Flow, raw: str, headers: dict[str, str], **form: str):
    """Refresh likewise."""
    sent = {"grant_type": "refresh_token", "refresh_token": raw, **form}
    return flow.post(sent, headers)
