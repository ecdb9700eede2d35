"""A write at the gateway: as it came, as it passed, as it was refused (design D7)."""

from dataclasses import dataclass

from audit.events import Outcome
from authfi.lib.tenancy import TenantRef
from smart.access import Person
from smart.gateway.body import ReadBody
from smart.gateway.headers import Headers
from smart.gateway.outcomes import Answer, Realm
from smart.gateway.write_answer import Reader
from smart.gateway.write_body import Written
from smart.gateway.write_upstream import Current
from smart.models import HealthcareModule
from smart.policy.request import FhirRequest
from smart.tokens import AccessToken
from smart.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Attempt:
    """A write as it came: parsed, from whom, where, with headers and a body still to be read."""

    request: FhirRequest
    raw_token: str
    token: AccessToken
    tenant: TenantRef
    realm: Realm
    module: HealthcareModule
    headers: Headers
    read_body: ReadBody


@dataclass(frozen=True, slots=True)
class Ready:
    """A write that passed: whose record it is in, by which rule, and what to send."""

    reader: Reader
    server: Upstream
    person: Person | None
    rule: str
    before: Current | None
    written: Written | None


class RefusedError(Exception):
    """The write is not made: the answer, its event's rule and reason, the patients it is about."""

    def __init__(
        self,
        answer: Answer,
        rule: str,
        reason: str,
        *,
        patients: frozenset[str] = frozenset(),
        outcome: Outcome = Outcome.DENIED,
    ) -> None:
        super().__init__(reason)
        self.answer = answer
        self.rule = rule
        self.reason = reason
        self.patients = patients
        self.outcome = outcome
