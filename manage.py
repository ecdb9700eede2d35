#!/usr/bin/env python
"""AuthFI's command line."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    """Run a management command."""
    os.umask(0o077)  # what a command writes is for this account alone
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authfi.settings")
    try:
        settings.INSTALLED_APPS  # noqa: B018 (reads the settings)
    except (ImproperlyConfigured, OSError, ValueError) as error:
        sys.exit(f"The settings cannot be used. {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
