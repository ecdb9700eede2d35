"""`create_tenant`: a tenant with its own keys and its first admin's invitation (contract)."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from authfi.accounts.founding import Newcomer, found_tenant
from tenants.commandline import NOT_READY, add_operator_option, one_line, operator
from tenants.http import issuer


class Command(BaseCommand):
    """Prints the issuer and, once, the admin's invitation link."""

    help = "Make a tenant with keys of its own, and invite its first administrator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument(
            "slug", help="a-z, 0-9 and hyphens; part of every URL of the tenant, never changed"
        )
        parser.add_argument("--name", required=True, help="the organization's public name")
        parser.add_argument("--region", default="local", help="where its data lives (local)")
        parser.add_argument("--plan", default="standard", help="what it has booked (standard)")
        parser.add_argument("--admin", metavar="EMAIL", help="the first administrator")
        parser.add_argument("--admin-name", metavar="NAME", help="the administrator's name")
        add_operator_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        actor = operator("create_tenant", options["operator"])
        try:
            tenant, link = found_tenant(
                slug=options["slug"],
                name=options["name"],
                region=options["region"],
                plan=options["plan"],
                admin=_admin(options["admin"], options["admin_name"]),
                actor=actor,
            )
        except ValidationError as error:
            raise CommandError(f"Nothing was made. {one_line(error)}") from error
        except DatabaseError as error:
            raise CommandError(NOT_READY) from error
        self.stdout.write(f"issuer      {issuer(tenant)}")
        if link:
            self.stdout.write(f"invitation  {link}")


def _admin(email: str | None, name: str | None) -> Newcomer | None:
    if email is None:
        if name is not None:
            raise CommandError("--admin-name goes with --admin.")
        return None
    return Newcomer(email=email, name=name or "Administrator")
