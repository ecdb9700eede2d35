"""`register_app`: registers an app from RFC 7591 member names (contract; REGI-01 to REGI-12)."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from audit import events
from authfi.lib import tenancy
from smart.models import Application
from smart.server import client_metadata, register
from smart.server.client_metadata import ClientMetadata, MetadataError
from tenants.commandline import add_operator_option, one_line, operator, tenant_named

DESCRIPTION = """\
Register an app of a tenant, approved at once, and print the registration as JSON: with its
client_id and, only now, its client_secret.

The file holds one JSON object with the member names of RFC 7591 (client_name, redirect_uris,
token_endpoint_auth_method none or client_secret_basic, grant_types, response_types, scope,
client_uri, logo_uri, tos_uri, policy_uri, contacts, software_id, software_version,
post_logout_redirect_uris), and: client_id (else one is made), launch_uris, allowed_origins (for a
public app else the origins of its redirect_uris), in_development (may use http://localhost),
without_pkce (a confidential SMART 1 app), patient_access, access_token_seconds.
"""


class Command(BaseCommand):
    """Prints the registered app; warnings go to standard error."""

    help = DESCRIPTION

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("slug", help="the tenant")
        parser.add_argument("file", metavar="FILE.json", help="the registration, - to read stdin")
        add_operator_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        tenant = tenant_named(options["slug"])
        actor = operator("register_app", options["operator"])
        document = _read(options["file"])
        try:
            metadata = client_metadata.parse(document)
            with tenancy.bind(tenant):
                application, secret = _register(metadata, actor)
        except MetadataError as error:
            raise CommandError(f"Not registered. {error}") from error
        except ValidationError as error:
            raise CommandError(f"Not registered. {one_line(error)}") from error
        for warning in metadata.warnings:
            self.stderr.write(f"warning: {warning}", self.style.WARNING)
        self.stdout.write(json.dumps(register.registered(application, secret), indent=2))


def _read(file: str) -> bytes:
    """One byte more than allowed is enough to know that it is too long. Raises CommandError."""
    if file == "-":
        return sys.stdin.buffer.read(client_metadata.MAX_BYTES + 1)
    try:
        with Path(file).open("rb") as source:
            return source.read(client_metadata.MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error


def _register(metadata: ClientMetadata, actor: events.Actor) -> tuple[Application, str | None]:
    client_id = metadata.client_id or register.new_client_id()
    return register.register_application(
        client_id=client_id,
        name=metadata.name or client_id,
        client_type=(
            Application.CLIENT_PUBLIC if metadata.is_public else Application.CLIENT_CONFIDENTIAL
        ),
        redirect_uris=metadata.redirect_uris,
        launch_uris=metadata.launch_uris,
        post_logout_redirect_uris=metadata.post_logout_redirect_uris,
        scopes=metadata.scopes,
        grant_types=metadata.grant_types,
        allowed_origins=metadata.allowed_origins,
        in_development=metadata.in_development,
        without_pkce=metadata.without_pkce,
        patient_access=metadata.patient_access,
        about=metadata.about,
        access_token_seconds=metadata.access_token_seconds,
        actor=actor,
    )
