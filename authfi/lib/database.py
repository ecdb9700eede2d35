"""Database work asked for by async code: a bounded pool of threads, bound and closed (D15)."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from authfi.lib import tenancy

P = ParamSpec("P")
R = TypeVar("R")

#: After so long without a statement a connection is looked at before it is used.
IDLE_SECONDS: Final = 5.0

# When this thread last used its connection of an alias.
_used = threading.local()
_executor = ThreadPoolExecutor(max_workers=settings.DATABASE_THREADS, thread_name_prefix="database")


async def run(
    tenant: tenancy.TenantRef | None, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run `work` in a thread that has the tenant bound; one call is one thread hop.

    The thread keeps its connection; one that broke, or was idle for some seconds and is gone, is
    replaced.
    """

    def bound() -> R:
        for connection in connections.all(initialized_only=True):
            _check_if_idle(connection)
        try:
            with tenancy.bind(tenant):
                return work(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                _keep(connection)

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_executor, context.run, bound)


def _check_if_idle(connection: Any) -> None:
    """Have the first statement preceded by a look whether the server still knows us."""
    idle = time.monotonic() - getattr(_used, connection.alias, 0.0)
    connection.health_check_enabled = True
    connection.health_check_done = idle < IDLE_SECONDS


def _keep(connection: BaseDatabaseWrapper) -> None:
    """Close what failed, keep the rest: taking one from the pool each time costs more than both."""
    connection.close_at = None
    connection.close_if_unusable_or_obsolete()
    setattr(_used, connection.alias, time.monotonic())
