"""AuthFI as it is installed: production settings, a tenant with an app, a person and live codes."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench import forms, processes, records
from tests.bench.load import Scenario

ORIGIN = "https://bench.example"
SCOPES = "openid fhirUser launch/patient offline_access patient/*.rs"


@dataclass(frozen=True)
class Prepared:
    """What the scenarios need of the database."""

    slug: str
    secret: str
    codes: list[str]
    token: str


def environment(folder: Path, port: int) -> dict[str, str]:
    """Production on this machine: its secrets are made for the run."""
    kek, audit = folder / "kek.key", folder / "audit.key"
    kek.write_bytes(os.urandom(32))
    return {
        "AUTHFI_MODE": "production",
        "DJANGO_SETTINGS_MODULE": "authfi.settings",
        "DATA_DIR": str(folder),
        "ORIGIN": ORIGIN,
        "PORT": str(port),
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "PASSWORD_PEPPER": secrets.token_urlsafe(48),
        "KEK_URL": f"file://{kek}",
        "AUDIT_KEY_FILE": str(audit),
        # Raised, not off: they are counted all the same.
        **{f"LIMIT_{name}": "10000000" for name in ("TOKEN", "INTROSPECTION", "GATEWAY")},
    }


@contextmanager
def server(workers: int) -> Iterator[int]:
    """The web processes as `manage.py serve` starts them; yields the id of their parent."""
    from django.conf import settings

    from authfi.management.commands.serve import web_command

    command = web_command({"workers": workers, "certificate": None, "key": None})
    with processes.running(command, settings.PORT) as pid:
        yield pid


def prepare(folder: Path, upstream_port: int, count: int) -> Prepared:
    """Needs Django set up: migrates, and makes a tenant whose FHIR server is `upstream_port`."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    from authfi.lib import tenancy
    from tenants.services import create_tenant

    call_command("migrate", verbosity=0)
    tenant = create_tenant(slug=f"bench-{secrets.token_hex(4)}", name="Bench")
    _connect(folder, tenant.slug, upstream_port)
    with tenancy.bind(tenant):
        prepared = _fill(tenant, count)
    with connections[settings.MIGRATION_DATABASE].cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute
    return prepared


def scenarios(prepared: Prepared, base: str) -> list[Scenario]:
    """`base` is where the server listens."""
    at = f"{base}/t/{prepared.slug}"
    codes, tokens = iter(prepared.codes), list[str]()
    ask = {
        "code_exchange": forms.exchange(f"{at}/oauth/token", prepared.secret, codes, tokens),
        "refresh": forms.refresh(f"{at}/oauth/token", prepared.secret, codes, tokens),
        "introspection": forms.introspect(
            f"{at}/oauth/introspect", prepared.secret, prepared.token
        ),
        "jwks": forms.get(f"{at}/.well-known/jwks.json"),
        "discovery": forms.get(f"{at}/.well-known/openid-configuration"),
        "smart_configuration": forms.get(f"{at}/fhir/.well-known/smart-configuration"),
        "gateway_read": forms.get(f"{at}/fhir/Observation/1", prepared.token, 2000),
        "gateway_search": forms.get(
            f"{at}/fhir/Observation?category=laboratory&_count=20", prepared.token, 40_000
        ),
    }
    weights = {"gateway_search": 0.25}
    return [Scenario(name, "authfi", one, weights.get(name, 1)) for name, one in ask.items()]


def _connect(folder: Path, slug: str, port: int) -> None:
    """The FHIR server stands where the embedded one would: alone there plain HTTP is allowed."""
    said = {"port": port, "bearer": secrets.token_urlsafe(16)}
    (folder / f"sandbox-{slug}.json").write_text(json.dumps(said))


def _fill(tenant: Any, count: int) -> Prepared:
    from django.utils import timezone

    from authfi.accounts.people import create_person
    from smart import tokens
    from smart.models import HealthcareModule
    from smart.server.register import register_application
    from tenants.http import fhir_base

    HealthcareModule(
        preset="sandbox",
        connection={"fhir_base": "", "auth": {"mode": "none"}},
        capabilities={"Observation": {"search_params": ["category", "patient", "_count"]}},
        checked_at=timezone.now(),
    ).save()
    app, secret = register_application(
        client_id=forms.CLIENT_ID,
        name="Bench",
        client_type="confidential",
        redirect_uris=[forms.REDIRECT_URI],
        scopes=SCOPES,
        grant_types=["authorization_code", "refresh_token"],
    )
    user = create_person(
        email="pat@bench.example", name="Pat", roles=["patient"], fhir_user="Patient/789"
    )
    grant, codes = _codes(app, user, fhir_base(tenant), count)
    token, _ = tokens.issue(
        client_id=forms.CLIENT_ID,
        subject=str(user.pk),
        scope=grant.scopes,
        audience=fhir_base(tenant),
        seconds=3600,
        grant_id=grant.pk,
        patient=records.PATIENT,
        fhir_user="Patient/789",
    )
    return Prepared(slug=tenant.slug, secret=str(secret), codes=codes, token=token)


def _codes(app: Any, user: Any, base: str, count: int) -> tuple[Any, list[str]]:
    """Codes as the authorize endpoint stores them, each with a grant of its own."""
    from django.utils import timezone

    from smart.models import AuthorizationCode, Grant
    from smart.models.handles import handle_digest, new_handle

    expires = timezone.now() + timedelta(hours=1)
    facts: Mapping[str, Any] = {
        "application": app,
        "user": user,
        "scopes": SCOPES,
        "patient": records.PATIENT,
        "context": {"audience": base, "patient": records.PATIENT, "fhir_user": "Patient/789"},
        "lasts": Grant.Lasts.OFFLINE,
        "expires_at": expires,
        "refresh_ends_at": timezone.now() + timedelta(days=90),
        "auth_time": timezone.now(),
    }
    grants = Grant.objects.bulk_create(Grant(**facts) for _ in range(count + 1))
    codes = [new_handle() for _ in range(count)]
    AuthorizationCode.objects.bulk_create(
        AuthorizationCode(
            code=handle_digest("code", code),
            grant=grant,
            redirect_uri=forms.REDIRECT_URI,
            scope=SCOPES,
            code_challenge=forms.CHALLENGE,
            code_challenge_method="S256",
            expires=expires,
        )
        for code, grant in zip(codes, grants, strict=False)
    )
    return grants[-1], codes
