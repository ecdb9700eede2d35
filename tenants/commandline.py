"""What commands share: finding a tenant, with one clear line where it is not there; who runs it."""

import getpass
import os
from argparse import ArgumentParser

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError

from audit import events
from authfi.lib.tenancy import TenantRef
from tenants import directory
from tenants.models import Tenant

NOT_READY = "The database is not ready: run `manage.py migrate`."


def tenant_named(slug: str) -> TenantRef:
    """The active tenant of that slug. Raises CommandError."""
    try:
        tenant = directory.find(slug)
    except DatabaseError as error:
        raise CommandError(NOT_READY) from error
    if tenant is None:
        raise CommandError(f"There is no tenant {slug}.")
    if tenant.state != Tenant.State.ACTIVE:
        raise CommandError(f"The tenant {slug} is suspended.")
    return tenant.ref


def add_operator_option(parser: ArgumentParser) -> None:
    """`--operator`: whom the audit trail names."""
    parser.add_argument(
        "--operator",
        metavar="NAME",
        help="who runs this, for the audit trail (default: the system's user name)",
    )


def operator(command: str, name: str | None) -> events.Actor:
    """The command and who runs it, as the trail keeps them (sealed). Raises CommandError."""
    name = _system_user() if name is None else name.strip()
    if not 0 < len(name) <= 100 or not name.isprintable():
        raise CommandError("--operator: 1 to 100 printable characters.")
    return events.Actor.system(f"{command} by {name}")


def one_line(error: ValidationError) -> str:
    """What is wrong with which member, in one line."""
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    members = error.message_dict.items()
    return "; ".join(f"{member}: {' '.join(texts)}" for member, texts in members)


def _system_user() -> str:
    """The account the command runs as; in a container it may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
