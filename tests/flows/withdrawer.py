"""A third process for the tests: withdraws a consent and prints when that was done.

`python -m tests.flows.withdrawer SLUG CONSENT`; the time is the machine's monotonic clock.
"""

import sys
import time

import django

django.setup()

from audit.events import Actor  # noqa: E402
from authfi.lib import tenancy  # noqa: E402
from consent import services  # noqa: E402
from consent.models import Consent  # noqa: E402
from tenants import directory  # noqa: E402


def main(slug: str, consent_id: str) -> None:
    """Withdraw, as the person's own page does."""
    tenant = directory.find(slug)
    assert tenant is not None
    with tenancy.bind(tenant.ref):
        consent = Consent.objects.get(pk=consent_id)
        services.withdraw(consent=consent, actor=Actor.person(consent.user_id))
    print(time.monotonic())  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
