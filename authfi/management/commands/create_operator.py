"""`create_operator`: the first platform operator of a new installation (contract; D2)."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from authfi.accounts.founding import Newcomer, OperatorExistsError, invite_operator
from tenants.commandline import NOT_READY, add_operator_option, one_line, operator


class Command(BaseCommand):
    """Prints one line: the invitation link."""

    help = (
        "Invite the first operator of the platform, and print the link, good once, for 72 hours. "
        "For somebody who has not used theirs it makes a new one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("email", metavar="EMAIL", help="whom to invite")
        parser.add_argument("--name", default="Operator", help="the operator's name")
        parser.add_argument(
            "--additional", action="store_true", help="invite one more beside those who are there"
        )
        add_operator_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError."""
        try:
            link = invite_operator(
                operator=Newcomer(email=options["email"], name=options["name"]),
                is_additional=options["additional"],
                actor=operator("create_operator", options["operator"]),
            )
        except OperatorExistsError as error:
            raise CommandError(
                "There is an operator already: to invite another one, add --additional."
            ) from error
        except ValidationError as error:
            raise CommandError(f"Nobody was invited. {one_line(error)}") from error
        except DatabaseError as error:
            raise CommandError(NOT_READY) from error
        self.stdout.write(link)
