"""Checks the audit chains and their signed checkpoints (A9)."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from audit import chain
from authfi.lib.tenancy import TenantRef
from tenants import directory

INTACT, BROKEN, INCOMPLETE = 0, 1, 2


class Command(BaseCommand):
    """Exit status: 0 intact, 1 with the first broken record named, 2 when it could not be read."""

    help = "Check the audit trail of one tenant, or of all: exit 0 intact, 1 broken, 2 not checked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One tenant's slug, or none for all."""
        parser.add_argument("slug", nargs="?", help="the tenant (default: every tenant)")

    def handle(self, *args: Any, slug: str | None = None, **options: Any) -> None:
        """Raises CommandError for an unknown tenant, SystemExit where a chain is broken."""
        try:
            results = [self._verify(tenant) for tenant in self._tenants(slug)]
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"not checked: {error}", returncode=INCOMPLETE) from error
        if any(found.broken for found in results):
            raise SystemExit(BROKEN)

    def _tenants(self, slug: str | None) -> list[TenantRef]:
        if slug is None:
            return directory.everyone()
        tenant = directory.find(slug)
        if tenant is None:
            raise CommandError(f"There is no tenant {slug}.", returncode=INCOMPLETE)
        return [tenant.ref]

    def _verify(self, tenant: TenantRef) -> chain.Verification:
        found = chain.verify(tenant, progress=self._show if sys.stderr.isatty() else None)
        self.stdout.write(f"{tenant.slug}: {_describe(found)}")
        return found

    def _show(self, seq: int) -> None:
        self.stderr.write(f"{seq:,} events\r", ending="")


def _describe(found: chain.Verification) -> str:
    checked = f"{found.first_seq}-{found.last_seq}, {found.count} events"
    if found.count == 0:
        checked = "no events"
    verdict = "intact"
    if found.broken:
        verdict = f"BROKEN: record {found.broken.seq} {found.broken.reason}"
    return f"{checked}, checked at {chain.rfc3339(found.verified_at)}: {verdict}"
