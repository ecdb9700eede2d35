"""Which tenant is this? The context variable and `bind` (design D2); models are in lib.models."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from authfi.lib import dbsession

PLATFORM_SLUG = "platform"


class TenantNotBoundError(RuntimeError):
    """Tenant data was asked for while no tenant is bound: a query without a tenant is refused."""


class WrongTenantError(RuntimeError):
    """A row of one tenant was about to be written while another tenant is bound."""


@dataclass(frozen=True, slots=True)
class TenantRef:
    """What the code below `tenants` needs to know of a tenant."""

    id: UUID
    slug: str
    region: str = "local"

    @property
    def is_platform(self) -> bool:
        """True for the reserved tenant of the operators."""
        return self.slug == PLATFORM_SLUG


_bound: ContextVar[TenantRef | None] = ContextVar("authfi_tenant", default=None)


def current() -> TenantRef:
    """The bound tenant. Raises TenantNotBoundError."""
    tenant = _bound.get()
    if tenant is None:
        raise TenantNotBoundError("No tenant is bound: wrap the work in tenancy.bind(tenant).")
    return tenant


def current_or_none() -> TenantRef | None:
    """The bound tenant, or None."""
    return _bound.get()


def bound_id() -> UUID | None:
    """Id of the bound tenant: the default of every `tenant_id`, which the database wants set."""
    tenant = _bound.get()
    return tenant.id if tenant else None


@contextmanager
def bind(tenant: TenantRef | None) -> Iterator[None]:
    """Bind a tenant to this context, whose database sessions follow; restore the former."""
    token = _bound.set(tenant)
    try:
        yield
    finally:
        _bound.reset(token)


def _on_connect(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    dbsession.follow(connection, bound_id)


connection_created.connect(_on_connect, dispatch_uid="authfi.tenancy")
