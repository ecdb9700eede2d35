"""Background work of the trail itself; sealing goes tenant by tenant and is in `tenants.tasks`."""

from celery import shared_task

from audit import chain


@shared_task
def make_partitions() -> None:
    """Make the coming months' partitions. Safe to repeat."""
    chain.make_partitions()
