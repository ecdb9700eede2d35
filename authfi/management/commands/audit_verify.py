"""Checks the audit chains and their signed checkpoints (A9)."""

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from audit import chain, verify
from authfi.lib.tenancy import TenantRef
from tenants import directory

INTACT, BROKEN, INCOMPLETE = 0, 1, 2
#: Events wait for a checkpoint for a minute as a rule; after this long it is said.
UNSEALED = timedelta(minutes=10)


class Command(BaseCommand):
    """Exit status: 0 intact, 1 with the first broken record named, 2 when it could not be read.

    One tenant's trouble does not keep the others from being checked, and 1 wins over 2. A trail
    whose tenant is not in the directory counts as broken: no tenant is ever deleted. Events that
    wait for a checkpoint too long, or checkpoints without an anchor, are said and change nothing.
    """

    help = "Check the audit trail of one tenant, or of all: exit 0 intact, 1 broken, 2 not checked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One tenant's slug, or none for all."""
        parser.add_argument("slug", nargs="?", help="the tenant (default: every tenant)")

    def handle(self, *args: Any, slug: str | None = None, **options: Any) -> None:
        """Raises CommandError for an unknown tenant, SystemExit where a chain is not intact."""
        try:
            tenants, strangers = self._tenants(slug)
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"not checked: {error}", returncode=INCOMPLETE) from error
        statuses = {self._verify(tenant) for tenant in tenants}
        for stranger in strangers:
            self.stderr.write(f"{stranger.slug}: this tenant is missing from the directory")
            statuses |= {BROKEN, self._verify(stranger)}
        for status in (BROKEN, INCOMPLETE):
            if status in statuses:
                raise SystemExit(status)

    def _tenants(self, slug: str | None) -> tuple[list[TenantRef], list[TenantRef]]:
        if slug is None:
            known = directory.everyone()
            ids = verify.strangers({tenant.id for tenant in known})
            return known, [TenantRef(id=found, slug=str(found)) for found in ids]
        tenant = directory.find(slug)
        if tenant is None:
            raise CommandError(f"There is no tenant {slug}.", returncode=INCOMPLETE)
        return [tenant.ref], []

    def _verify(self, tenant: TenantRef) -> int:
        try:
            found = verify.verify(tenant, progress=self._show if sys.stderr.isatty() else None)
        except (DatabaseError, ImproperlyConfigured) as error:
            self.stderr.write(f"{tenant.slug}: not checked: {error}")
            return INCOMPLETE
        self.stdout.write(f"{tenant.slug}: {_describe(found)}")
        return BROKEN if found.broken else INTACT

    def _show(self, seq: int) -> None:
        self.stderr.write(f"{seq:,} events\r", ending="")


def _describe(found: verify.Verification) -> str:
    checked = f"{found.first_seq}-{found.last_seq}, {found.count} events"
    if found.count == 0:
        checked = "no events"
    verdict = f"intact{_notes(found)}"
    if found.broken:
        verdict = f"BROKEN: record {found.broken.seq} {found.broken.reason}"
    return f"{checked}, checked at {chain.rfc3339(found.verified_at)}: {verdict}"


def _notes(found: verify.Verification) -> str:
    """What an intact trail lacks."""
    notes = ""
    if found.unsealed_since and found.verified_at - found.unsealed_since > UNSEALED:
        notes += f"; not sealed behind record {found.sealed}"
    if found.sealed and not found.is_anchored:
        notes += "; no anchor outside the database"
    if found.clock_back:
        notes += f"; the clock went back at record {found.clock_back[0].seq}"
    return notes
