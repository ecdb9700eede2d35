"""`logout_user`: ends every session and token of a person now (contract)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authfi.accounts import people
from authfi.lib import tenancy
from smart import forced_logout
from tenants.commandline import add_operator_option, operator, tenant_named


class Command(BaseCommand):
    """Prints what ended, in numbers. Running servers follow within five seconds."""

    help = "End every session, grant and token of a person now; they may sign in again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("email", metavar="EMAIL", help="whom to sign out")
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="whose person it is")
        add_operator_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        tenant = tenant_named(options["tenant"])
        actor = operator("logout_user", options["operator"])
        with tenancy.bind(tenant):
            user = people.find_by_email(options["email"])
            if user is None:
                raise CommandError(f"There is no person {options['email']} in {tenant.slug}.")
            ended = forced_logout.log_out(user=user, actor=actor)
        self.stdout.write(
            f"Ended: {ended.sessions} sessions, {ended.grants} grants with all their tokens."
        )
