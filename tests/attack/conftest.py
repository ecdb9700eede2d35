"""The hospital that is attacked, one for each module of tests."""

import pytest

from tests.attack.front import a_front, a_hospital
from tests.gateway import raw_upstream


@pytest.fixture(scope="module")
def hospital(database, signing_keys, tmp_path_factory):
    """Ann's and Bob's records behind the front door."""
    with a_hospital(tmp_path_factory.mktemp("attacked")) as front:
        yield front


@pytest.fixture(scope="module")
def raw():
    """A FHIR server that answers what it is told to."""
    with raw_upstream.serve() as server:
        yield server


@pytest.fixture(scope="module")
def odd(database, signing_keys, raw):
    """The front door before that server."""
    with a_front(raw.base, "upstream-bearer-of-the-attacks") as front:
        yield front
