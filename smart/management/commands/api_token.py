"""`api_token`: a short-lived management API token, for scripts and first steps (contract)."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from audit import events, record
from authfi.lib import tenancy
from smart import tokens
from smart.models import Application
from smart.scopes.syntax import MANAGEMENT_SCOPES, MalformedScope, format_scopes, parse_scopes
from smart.server.register import register_application
from tenants.commandline import tenant_named
from tenants.http import management_audience

TOKEN_SECONDS = 600
#: The app that the tokens are of: suspending it ends them all.
CLIENT_ID = "command-line"
ACTOR = events.Actor.system("api_token")


class Command(BaseCommand):
    """Prints one line: the token."""

    help = "Print a management API token of a tenant, valid for 10 minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("slug", help="the tenant")
        parser.add_argument(
            "--scope",
            required=True,
            help=f"one or more, separated by spaces: {', '.join(sorted(MANAGEMENT_SCOPES))}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        tenant = tenant_named(options["slug"])
        scope = _checked(options["scope"])
        with tenancy.bind(tenant):
            if _app().state != Application.State.ACTIVE:
                raise CommandError(f"The app {CLIENT_ID} of {tenant.slug} is suspended.")
            self.stdout.write(_issue(scope))


def _checked(text: str) -> str:
    """The scopes in their own order. Raises CommandError."""
    try:
        scopes = parse_scopes(text)
    except MalformedScope as error:
        raise CommandError(str(error)) from error
    unknown = [scope.text for scope in scopes if scope.text not in MANAGEMENT_SCOPES]
    if unknown or not scopes:
        allowed = ", ".join(sorted(MANAGEMENT_SCOPES))
        raise CommandError(f"Not a management scope: {' '.join(unknown) or 'none'}. Use {allowed}.")
    return format_scopes(scopes)


def _app() -> Application:
    """The tenant's app for commands; made when first needed, its secret told to nobody."""
    found = Application.objects.filter(client_id=CLIENT_ID).first()
    if found is not None:
        return found
    try:
        made, _ = register_application(
            client_id=CLIENT_ID,
            name="Command line",
            client_type=Application.CLIENT_CONFIDENTIAL,
            scopes=" ".join(sorted(MANAGEMENT_SCOPES)),
            grant_types=["client_credentials"],
            actor=ACTOR,
        )
    except ValidationError:
        # Another command was quicker; where it was not, there is no such app and this says so.
        return Application.objects.get(client_id=CLIENT_ID)
    return made


def _issue(scope: str) -> str:
    raw, claims = tokens.issue(
        client_id=CLIENT_ID,
        subject=CLIENT_ID,
        scope=scope,
        audience=management_audience(),
        seconds=TOKEN_SECONDS,
    )
    record.record(
        events.Event(
            code=events.Code.TOKEN_ISSUE,
            outcome=events.Outcome.SUCCESS,
            actor=ACTOR,
            client_id=CLIENT_ID,
            details={"jti": claims["jti"], "scopes": scope.split()},
        )
    )
    return raw
