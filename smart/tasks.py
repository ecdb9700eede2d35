"""Background work of the SMART part, tenant by tenant."""

from celery import shared_task
from django.utils import timezone

from smart.gateway import intents
from tenants import tasks


@shared_task
def report_orphan_writes() -> int:
    """Tell of announced writes without an outcome (V9); returns how many. Safe to run twice."""
    now = timezone.now()
    return tasks.for_each(lambda tenant: intents.report_orphans(now))
