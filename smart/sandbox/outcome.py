"""Errors as OperationOutcome (FHIR R4 3.1.0.4.2)."""

from dataclasses import dataclass, field
from typing import Any

import orjson

Resource = dict[str, Any]
FHIR_JSON = "application/fhir+json; charset=utf-8"


@dataclass(frozen=True)
class Response:
    """What goes back: HTTP status, body bytes and extra headers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class FhirError(Exception):
    """A refusal with its HTTP status and the issue code of the OperationOutcome."""

    def __init__(
        self, status: int, code: str, diagnostics: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(diagnostics)
        self.status = status
        self.code = code
        self.diagnostics = diagnostics
        self.headers = headers or {}

    def to_response(self) -> Response:
        """The error as an HTTP answer."""
        outcome = operation_outcome("error", self.code, self.diagnostics)
        return Response(self.status, orjson.dumps(outcome), self.headers)


def operation_outcome(severity: str, code: str, diagnostics: str) -> Resource:
    """An OperationOutcome of one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def invalid(diagnostics: str) -> FhirError:
    """400 with the issue code `invalid`."""
    return FhirError(400, "invalid", diagnostics)


def unsupported(diagnostics: str) -> FhirError:
    """400 with the issue code `not-supported`."""
    return FhirError(400, "not-supported", diagnostics)
