"""An upstream of the tests' own."""

from collections.abc import Iterator

import pytest

from tests import fhir_server


@pytest.fixture
def fhir() -> Iterator[fhir_server.FhirServer]:
    """A proper FHIR R4 server."""
    with fhir_server.serve() as server:
        yield server
