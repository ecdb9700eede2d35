"""A second process for the tests: records events in a tenant's chain from several threads.

`python -m tests.audit.appender SLUG THREADS EVENTS`
"""

import sys
import threading

import django

django.setup()

from audit import record  # noqa: E402
from authfi.lib import tenancy  # noqa: E402
from tenants import directory  # noqa: E402
from tests.audit.conftest import a_read  # noqa: E402


def main(slug: str, threads: str, count: str) -> None:
    """Record, and fail loudly where a thread could not."""
    tenant = directory.find(slug)
    assert tenant is not None
    done = []

    def work():
        with tenancy.bind(tenant.ref):
            for number in range(int(count)):
                record.record(a_read(number))
                done.append(number)

    running = [threading.Thread(target=work) for _ in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    sys.exit(len(done) != int(threads) * int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
