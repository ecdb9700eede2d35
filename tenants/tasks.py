"""Background work that goes through the tenants one by one, each bound (D1, D2)."""

import logging
from datetime import timedelta

from celery import shared_task
from django.apps import apps
from django.utils import timezone

from audit import checkpoints
from audit.chain import ChainBrokenError
from authfi.lib import tenancy
from tenants import directory

log = logging.getLogger(__name__)

# Rows that mean nothing once they have expired: model, field that says when, further conditions.
EXPIRING: tuple[tuple[str, str, dict[str, bool]], ...] = (
    ("accounts.Session", "expires_at", {}),
    ("smart.AuthorizationRequest", "expires_at", {}),
    ("smart.AuthorizationCode", "expires", {}),
    ("consent.ConsentRequest", "expires_at", {"consent__isnull": True}),
)
KEPT_SECONDS = 86_400


@shared_task
def seal_checkpoints() -> int:
    """Sign a checkpoint for each tenant with new events; returns how many were signed (A6)."""
    signed = 0
    for tenant in directory.everyone():
        try:
            signed += checkpoints.seal(tenant) is not None
        except ChainBrokenError as error:
            log.error("the audit chain of %s is broken: %s", tenant.slug, error)
    return signed


@shared_task
def sweep_expired() -> int:
    """Delete what expired more than a day ago; returns how many rows. Safe to run twice."""
    before = timezone.now() - timedelta(seconds=KEPT_SECONDS)
    swept = 0
    for tenant in directory.everyone():
        with tenancy.bind(tenant):
            for label, field, conditions in EXPIRING:
                rows = apps.get_model(label)._default_manager
                expired = rows.filter(**{f"{field}__lt": before}, **conditions)
                swept += expired.delete()[0]
    return swept
