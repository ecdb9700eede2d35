"""Operators acting on another tenant: the one way there, written into both chains (D2, T6)."""

from collections.abc import Iterator
from contextlib import contextmanager

from audit import events, record
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef


class NotOperatorError(PermissionError):
    """Only the reserved tenant `platform` acts on others."""


@contextmanager
def administer(tenant: TenantRef, *, actor: events.Actor, purpose: str) -> Iterator[None]:
    """Bind `tenant` while `platform` is bound, for configuring it; never to open records.

    `purpose` says in a few words what is done. Both trails hold it before the work begins. Raises
    NotOperatorError, record.AuditUnavailableError.
    """
    if not tenancy.current().is_platform:
        raise NotOperatorError("Only the platform's operators act on another tenant.")
    event = events.Event(
        code=events.Code.ADMIN_TENANT,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        object=f"Tenant/{tenant.slug}",
        details={"purpose": purpose},
    )
    record.record(event)
    record.record_for(tenant, event)
    with tenancy.bind(tenant):
        yield
