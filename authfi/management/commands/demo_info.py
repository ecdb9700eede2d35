"""`demo_info`: what the demo holds, for people and for scripts (contract, "Commands")."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from smart.demo import summary


class Command(BaseCommand):
    """Print accounts, apps and URLs of the demo."""

    help = "Print what the demo holds: accounts with passwords, apps with secrets, URLs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("--json", action="store_true", help="everything, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        if not settings.DEMO:
            raise CommandError("demo_info is for the demo only; this is not one.")
        try:
            text = json.dumps(summary.info(), indent=2) if options["json"] else summary.table()
        except summary.NotSeededError as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError("The demo is not set up yet: start it with `make demo`.") from error
        self.stdout.write(text)
