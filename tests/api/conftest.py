"""Clients of the management API."""

import contextlib
from collections.abc import Callable, Iterator

import orjson
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.test import Client

from audit.events import Actor
from authfi.lib import tenancy
from smart import tokens
from smart.models import Application
from smart.scopes.syntax import MANAGEMENT_SCOPES
from smart.server.register import register_application
from tenants import directory
from tenants.http import management_audience
from tenants.services import create_tenant
from tests import fhir_server

Token = Callable[..., str]


@pytest.fixture
def fhir() -> Iterator[fhir_server.FhirServer]:
    """A proper FHIR R4 server."""
    with fhir_server.serve() as server:
        yield server


@pytest.fixture
def platform() -> tenancy.TenantRef:
    """The reserved tenant, which all tests share."""
    with contextlib.suppress(ValidationError, IntegrityError):  # another worker was quicker
        create_tenant(slug=tenancy.PLATFORM_SLUG, name="Platform")
    directory.forget(tenancy.PLATFORM_SLUG)
    found = directory.find(tenancy.PLATFORM_SLUG)
    assert found is not None
    return found.ref


@pytest.fixture
def token() -> Token:
    """Makes a token of a tenant's own client."""

    def make(
        tenant: tenancy.TenantRef,
        scope: str = "authfi/tenants",
        *,
        audience: str = "",
        client_id: str = "admin-api",
    ) -> str:
        with tenancy.bind(tenant):
            if not Application.objects.filter(client_id=client_id).exists():
                register_application(
                    client_id=client_id,
                    name="Admin API",
                    client_type=Application.CLIENT_CONFIDENTIAL,
                    scopes=" ".join(sorted(MANAGEMENT_SCOPES)),
                    grant_types=["client_credentials"],
                    actor=Actor.system("tests"),
                )
            raw, _ = tokens.issue(
                client_id=client_id,
                subject=client_id,
                scope=scope,
                audience=audience or management_audience(),
                seconds=300,
            )
        return raw

    return make


class Api:
    """Calls one resource of one tenant."""

    def __init__(self, client: Client, resource: str) -> None:
        self.client = client
        self.resource = resource

    def call(
        self, method: str, tenant: tenancy.TenantRef | str, token: str | None, body=None, **kw
    ):
        slug = tenant if isinstance(tenant, str) else tenant.slug
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        kw.setdefault("content_type", "application/json")
        return self.client.generic(
            method,
            f"/api/v1/tenants/{slug}/{self.resource}",
            data=_encoded(body),
            headers={**headers, **kw.pop("headers", {})},
            **kw,
        )


def _encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)


@pytest.fixture
def healthcare(client: Client) -> Api:
    """`/healthcare`."""
    return Api(client, "healthcare")


@pytest.fixture
def launch_contexts(client: Client) -> Api:
    """`/launch-contexts`."""
    return Api(client, "launch-contexts")
