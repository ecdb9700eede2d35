"""`launch`: an app's launch URL, as an EHR would open it (contract, EHRL-01)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import events
from authfi.accounts import people
from authfi.lib import tenancy
from smart.launch import LaunchRefusedError, open_launch
from smart.models import Application
from tenants.commandline import tenant_named

ACTOR = events.Actor.system("launch")


class Command(BaseCommand):
    """Prints one line: the URL."""

    help = "Print an app's launch URL with iss and launch, good once, for five minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("slug", help="the tenant")
        parser.add_argument("--app", required=True, metavar="CLIENT_ID", help="the app to launch")
        parser.add_argument("--user", required=True, metavar="EMAIL", help="who uses it")
        parser.add_argument("--patient", required=True, metavar="ID", help="id of the open patient")
        parser.add_argument("--encounter", metavar="ID", help="id of the open encounter")
        parser.add_argument("--launch-uri", metavar="URL", help="one of the app's launch URIs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        with tenancy.bind(tenant_named(options["slug"])):
            application = Application.objects.filter(client_id=options["app"]).first()
            if application is None:
                raise CommandError(f"There is no app {options['app']}.")
            user = people.find_by_email(options["user"])
            if user is None:
                raise CommandError(f"There is no person {options['user']}.")
            try:
                opened = open_launch(
                    application=application,
                    user=user,
                    patient=options["patient"],
                    encounter=options["encounter"],
                    members={},
                    actor=ACTOR,
                    launch_uri=options["launch_uri"],
                )
            except LaunchRefusedError as error:
                raise CommandError(f"Refused: {error.reason}.") from error
        self.stdout.write(opened.launch_url)
