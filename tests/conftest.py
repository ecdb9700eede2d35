"""The cast and the database every test shares.

Nothing is rolled back and nothing is cleaned: what a test writes belongs to tenants of its own, so
isolation is the product's own tenant wall.
"""

import fcntl
import itertools
import secrets
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from pytest_django.plugin import DjangoDbBlocker

from authfi.crypto import jose
from authfi.lib import tenancy
from tenants.services import create_tenant


@pytest.fixture(scope="session", autouse=True)
def database(
    django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Migrated once, by whichever worker comes first; open to every test."""
    with django_db_blocker.unblock():
        with (tmp_path_factory.getbasetemp().parent / "migrate.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            call_command("migrate", verbosity=0)
        yield


@pytest.fixture(scope="session", autouse=True)
def signing_keys() -> Iterator[None]:
    """RSA keys take long to make: tenants of tests share a few, in turn."""
    made = {alg: [jose.new_key(alg) for _ in range(3)] for alg in ("RS256", "ES256")}
    turns = {alg: itertools.cycle(keys) for alg, keys in made.items()}
    real = jose.new_key
    jose.new_key = lambda alg: next(turns[alg]) if alg in turns else real(alg)
    yield
    jose.new_key = real


pytest_plugins = ["tests.browser"]


def fresh_tenant(name: str) -> tenancy.TenantRef:
    """A tenant nobody else uses."""
    return create_tenant(slug=f"{name}-{secrets.token_hex(4)}", name=name.title())


@pytest.fixture
def mercy() -> tenancy.TenantRef:
    """A hospital."""
    return fresh_tenant("mercy")


@pytest.fixture
def lakeside() -> tenancy.TenantRef:
    """Another hospital, which must see nothing of the first."""
    return fresh_tenant("lakeside")


@pytest.fixture
def bound(mercy: tenancy.TenantRef) -> Iterator[tenancy.TenantRef]:
    """Mercy, bound for the length of the test."""
    with tenancy.bind(mercy):
        yield mercy
