"""`activate_healthcare`: the healthcare module of a tenant, as the API call does it (EHR-38)."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import events
from authfi.lib import tenancy
from smart import activation, presets
from smart.activation import Activation, ActivationInputError, ActivationRefusedError
from smart.upstream_checks import Check
from tenants.commandline import tenant_named

ACTOR = events.Actor.system("activate_healthcare")


class Command(BaseCommand):
    """Prints what was checked and where apps find the tenant; exit 1 where a check fails."""

    help = "Switch SMART on FHIR on for a tenant, or connect it to another FHIR server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("slug", help="the tenant")
        parser.add_argument(
            "--preset", required=True, help=f"kind of server: {', '.join(presets.available())}"
        )
        parser.add_argument("--fhir-base", help="FHIR base URL, such as https://host/fhir")
        parser.add_argument(
            "--auth-mode",
            choices=sorted(activation.AUTH_MEMBERS),
            default="none",
            help="how AuthFI signs in at the server (default none)",
        )
        parser.add_argument(
            "--auth-value-file",
            type=Path,
            help="file with the credential: `username:password` for basic, or the bearer token",
        )
        parser.add_argument(
            "--scope", help="clinical scopes offered to launches (default: all that is enforced)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        tenant = tenant_named(options["slug"])
        auth = _auth(options["auth_mode"], options["auth_value_file"])
        scope = options["scope"]
        try:
            with tenancy.bind(tenant):
                done = activation.activate(
                    preset=options["preset"],
                    fhir_base=options["fhir_base"],
                    auth=auth,
                    scopes=None if scope is None else scope.split(),
                    actor=ACTOR,
                )
        except ActivationInputError as error:
            raise CommandError(str(error)) from error
        except ActivationRefusedError as error:
            self._print_checks(error.checks)
            raise CommandError(f"Nothing was changed. {error}") from error
        self._print_checks(done.checks)
        self._print_result(done)

    def _print_checks(self, checks: tuple[Check, ...]) -> None:
        for check in checks:
            self.stdout.write(f"{'ok' if check.ok else 'failed':<8}{check.name}: {check.detail}")

    def _print_result(self, done: Activation) -> None:
        self.stdout.write(f"issuer     {done.issuer}")
        self.stdout.write(f"FHIR base  {done.fhir_base}")
        self.stdout.write(f"discovery  {done.smart_configuration}")
        for sentence in done.setup:
            self.stdout.write(f"note       {sentence}")


def _auth(mode: str, path: Path | None) -> dict[str, str]:
    """The credential from its file, so that it is in no process list. Raises CommandError."""
    if (mode == "none") != (path is None):
        raise CommandError("--auth-value-file goes with --auth-mode basic or static_bearer.")
    if path is None:
        return {"mode": mode}
    try:
        value = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read as text.") from error
    if mode == "static_bearer":
        return {"mode": mode, "token": value}
    username, colon, password = value.partition(":")
    if not colon:
        raise CommandError(f"{path} holds no username:password.")
    return {"mode": mode, "username": username, "password": password}
