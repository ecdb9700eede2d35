"""What a gateway decision is made of, and what it can come to (design D6, D10)."""

from collections.abc import Mapping
from dataclasses import dataclass

from smart.policy.references import Bases, Key
from smart.policy.request import FhirRequest
from smart.scopes.syntax import ClinicalScope, Scope


@dataclass(frozen=True, slots=True)
class Facts:
    """All that `decide` looks at. The caller has verified the token and its audience.

    `patient` is the id of the Patient in the token's launch context, `fhir_user` the relative
    reference of its user (`Practitioner/123`). `base` is the public FHIR base and `upstream` the
    server behind it, both absolute URLs; `supported` are the search parameters that server says it
    has for the type asked for. That the grant is live is settled before: a token whose
    grant ended, by withdrawn consent or otherwise, does not authenticate (design D3).
    """

    request: FhirRequest
    scopes: tuple[Scope, ...]
    patient: str | None
    fhir_user: str | None
    base: str
    upstream: str
    supported: frozenset[str]


@dataclass(frozen=True, slots=True)
class Access:
    """What the response gate lets out.

    `scopes` maps each resource type that may leave to the scopes it must match. `only` is the one
    resource a read asked for. `is_own_user` marks a read of the token's own fhirUser (RSVR-13).
    """

    patient: str
    bases: Bases
    scopes: Mapping[str, tuple[ClinicalScope, ...]]
    only: Key | None = None
    is_own_user: bool = False


@dataclass(frozen=True, slots=True)
class Permit:
    """Allowed: `request` is what to send upstream, `access` what may come back.

    `access` is None only for the CapabilityStatement, which holds no personal data.
    """

    rule: str
    reason: str
    request: FhirRequest
    access: Access | None


@dataclass(frozen=True, slots=True)
class Deny:
    """Refused by `rule`. `reason` and `allowed` are sentences for the app's developer.

    `status` is an HTTP status, `issue` a FHIR issue-type code. `scope` names a scope that would
    have covered the request, where a scope would help.
    """

    status: int
    rule: str
    reason: str
    issue: str
    allowed: str = ""
    scope: str | None = None
