"""Database work asked for by async code: a bounded pool of threads, bound and closed (D15)."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import connections

from authfi.lib import tenancy

P = ParamSpec("P")
R = TypeVar("R")

_executor = ThreadPoolExecutor(max_workers=settings.DATABASE_THREADS, thread_name_prefix="database")


async def run(
    tenant: tenancy.TenantRef | None, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run `work` in a thread that has the tenant bound; one call is one thread hop.

    Connections follow their `CONN_MAX_AGE`: pooled ones go back to the pool afterwards.
    """

    def bound() -> R:
        try:
            with tenancy.bind(tenant):
                return work(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close_if_unusable_or_obsolete()

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_executor, context.run, bound)
