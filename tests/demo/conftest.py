"""The demo's organizations in the test database, with their sandbox servers running."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from smart.demo import sandboxes, seed


@pytest.fixture(scope="session")
def sandbox_servers() -> Iterator[None]:
    """Both FHIR servers, started as `serve --demo` starts them."""
    running = [
        subprocess.Popen(sandboxes.command(slug), env=os.environ) for slug in sandboxes.SLUGS
    ]
    try:
        for slug in sandboxes.SLUGS:
            sandboxes.wait_until_ready(slug, 60)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


@pytest.fixture(scope="session")
def seeded(database: None, sandbox_servers: None) -> None:
    """Everything the demo holds. Its slugs are fixed, so only one test file may ask for it."""
    seed.ensure()
