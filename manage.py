#!/usr/bin/env python
"""AuthFI's command line."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, ManagementUtility, get_commands

#: Their commands know neither tenants nor the audit trail: ours do what they would do.
FOREIGN = frozenset(
    {"django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider", "rest_framework"}
)


class Commands(ManagementUtility):
    """Django's and our own commands, without those that other packages bring."""

    def main_help_text(self, commands_only: bool = False) -> str:
        """The list of commands."""
        _forget_foreign()
        return super().main_help_text(commands_only)

    def fetch_command(self, subcommand: str) -> BaseCommand:
        """The command of that name."""
        _forget_foreign()
        return super().fetch_command(subcommand)


def _forget_foreign() -> None:
    """Django keeps one dictionary of commands for the life of the process."""
    found = get_commands()
    for name in [name for name, app in found.items() if app in FOREIGN]:
        del found[name]


def main() -> None:
    """Run a management command."""
    os.umask(0o077)  # what a command writes is for this account alone
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authfi.settings")
    try:
        settings.INSTALLED_APPS  # noqa: B018 (reads the settings)
    except (ImproperlyConfigured, OSError, ValueError) as error:
        sys.exit(f"The settings cannot be used. {error}")
    Commands(sys.argv).execute()


if __name__ == "__main__":
    main()
