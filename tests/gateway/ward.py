"""A hospital whose FHIR server may be written to: people, bodies, what the trail says."""

import json
import secrets
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from authfi.accounts.models import User
from authfi.lib import tenancy
from smart.models import WriteIntent
from tests.cast import a_person
from tests.gateway.asgi import Reply
from tests.sandbox.conftest import Sandbox

if TYPE_CHECKING:
    from tests.gateway.conftest import Base

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
JSON = {"Content-Type": "application/fhir+json"}
WRITE = "openid patient/*.cruds"

PULSE: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "category": [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}], "text": "pulse"},
    "subject": {"reference": "Patient/789"},
    "effectiveDateTime": "2026-11-20T08:30:00Z",
    "valueQuantity": {"value": 72, "unit": "/min"},
}
ORDER: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "medicationCodeableConcept": {"text": "Amoxicillin 500 mg"},
    "subject": {"reference": "Patient/789"},
}


def changed(resource: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A copy with other members; None takes one away."""
    made = {**deepcopy(resource), **members}
    return {name: value for name, value in made.items() if value is not None}


class Ward:
    """The base, the server behind it, and how an app writes."""

    def __init__(self, base: "Base", sandbox: Sandbox) -> None:
        self.base = base
        self.sandbox = sandbox

    def person(self, *roles: str, **facts: Any) -> User:
        """Somebody with a role here."""
        return a_person(self.base.tenant, *roles, **facts).user

    def token(self, scope: str = WRITE, *, user: User | None = None, age: float = 60, **more: Any):
        """A token of somebody who signed in `age` seconds ago; John Doe unless told otherwise."""
        signed_in = timezone.now() - timedelta(seconds=age)
        subject = str((user or self.base.user).pk)
        return self.base.token(scope, subject=subject, auth_time=signed_in, **more)

    def send(
        self, method: str, path: str, token: str, resource: Any = None, **headers: str
    ) -> Reply:
        """One write; names of headers with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if resource is None:
            body = b""
        else:
            body = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
            names = {**JSON, **names}
        return self.base.ask(path, token, method=method, headers=names, body=body)

    def create(self, token: str, resource: Any, **headers: str) -> Reply:
        kind = resource["resourceType"] if isinstance(resource, dict) else "Observation"
        return self.send("POST", f"/{kind}", token, resource, **headers)

    def update(self, token: str, resource: dict[str, Any], **headers: str) -> Reply:
        path = f"/{resource['resourceType']}/{resource['id']}"
        return self.send("PUT", path, token, resource, **headers)

    def delete(self, token: str, path: str, **headers: str) -> Reply:
        return self.send("DELETE", path, token, **headers)

    def behind(self, resource: dict[str, Any], resource_id: str = "") -> dict[str, Any]:
        """Put a resource into the server behind, past the gateway; as it is stored there."""
        made = changed(resource, id=resource_id or f"w-{secrets.token_hex(4)}")
        path = f"/{made['resourceType']}/{made['id']}"
        stored: dict[str, Any] = self.sandbox.call("PUT", path, made).json
        return stored

    def stored(self, path: str) -> tuple[int, Any]:
        """Status and resource, asked of the server behind itself."""
        reply = self.sandbox.call("GET", path)
        return reply.status, reply.json

    def refused(self, reply: Reply, status: int, issue: str, rule: str) -> str:
        """Check the refusal of a write and its one event; nothing was announced."""
        text = reply.outcome(status, issue)
        seen = self.base.event(reply)
        assert (seen.rule, seen.details["status"]) == (rule, status), seen
        self.nothing_open()
        return text

    def nothing_open(self) -> None:
        """No write without an outcome."""
        with tenancy.bind(self.base.tenant):
            assert WriteIntent.objects.count() == 0

    def told(self, reply: Reply, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Details of the intent's and of the outcome's event of a write that was sent."""
        before, after = self.base.events(reply)
        assert (before.code, before.outcome) == ("fhir.intent", "success")
        assert after.code == f"fhir.{kind}.allow"
        assert before.details["intent"] == after.details["intent"]
        assert (before.details["phase"], after.details["phase"]) == ("intent", "outcome")
        self.nothing_open()
        return before.details, {**after.details, "outcome": after.outcome}
