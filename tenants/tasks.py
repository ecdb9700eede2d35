"""Background work that goes through the tenants one by one, each bound (D1, D2)."""

import logging
from collections.abc import Callable
from datetime import timedelta

from celery import shared_task
from django.apps import apps
from django.utils import timezone

from audit import checkpoints, verdicts
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from tenants import directory

log = logging.getLogger(__name__)

# Rows that mean nothing once they have expired: model, field that says when, further conditions.
EXPIRING: tuple[tuple[str, str, dict[str, bool]], ...] = (
    ("accounts.Session", "expires_at", {}),
    ("accounts.KnownDevice", "expires_at", {}),
    ("tenants.Allowance", "expires_at", {}),
    ("smart.AuthorizationRequest", "expires_at", {}),
    ("smart.LaunchContext", "expires_at", {}),
    ("smart.AuthorizationCode", "expires", {}),
    ("smart.RefreshToken", "expires_at", {}),
    ("smart.RevokedToken", "expires_at", {}),
    ("consent.ConsentRequest", "expires_at", {"consent__isnull": True}),
)
KEPT_SECONDS = 3_600


class TenantsFailedError(RuntimeError):
    """Work went wrong for some tenants; the log says how, and the others were served."""


@shared_task
def seal_checkpoints() -> int:
    """Sign a checkpoint for each tenant with new events; returns how many were signed (A6)."""
    return for_each(lambda tenant: int(checkpoints.seal(tenant) is not None))


@shared_task
def verify_trails() -> int:
    """Read each tenant's trail in full; returns how many are broken (A9). Safe to repeat."""
    return for_each(lambda tenant: int(verdicts.read_in_full(tenant).broken is not None))


@shared_task
def sweep_expired() -> int:
    """Delete what expired more than an hour ago; returns how many rows. Safe to run twice."""
    return for_each(_sweep)


def for_each(work: Callable[[TenantRef], int]) -> int:
    """Do the work for every tenant, whatever happens to the others. Raises TenantsFailedError."""
    done, failed = 0, []
    for tenant in directory.everyone():
        try:
            with tenancy.bind(tenant):
                done += work(tenant)
        except Exception:  # one tenant's trouble is not the next one's
            log.exception("background work failed for tenant %s", tenant.slug)
            failed.append(tenant.slug)
    if failed:
        raise TenantsFailedError(f"failed for {len(failed)} tenants: {', '.join(failed[:10])}")
    return done


def _sweep(tenant: TenantRef) -> int:
    before = timezone.now() - timedelta(seconds=KEPT_SECONDS)
    swept = 0
    for label, field, conditions in EXPIRING:
        rows = apps.get_model(label)._default_manager
        swept += rows.filter(**{f"{field}__lt": before}, **conditions).delete()[0]
    return swept
