"""What a gateway decision is made of, and what it can come to (design D6, D10, D16)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from smart.policy.references import Bases, Key
from smart.policy.request import FhirRequest
from smart.policy.shape import Shape
from smart.scopes.syntax import ClinicalScope, Scope

#: Scopes of which one has to admit a resource.
AnyOf = tuple[ClinicalScope, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """What the server behind says it does for one resource type (its CapabilityStatement)."""

    interactions: frozenset[str] = frozenset()
    search_params: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()
    revincludes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, said: Mapping[str, Iterable[str]]) -> Self:
        """From a type's entry among the stored capabilities; what is missing is not served."""
        return cls(
            interactions=frozenset(said.get("interactions", ())),
            search_params=frozenset(said.get("search_params", ())),
            includes=frozenset(said.get("includes", ())),
            revincludes=frozenset(said.get("revincludes", ())),
        )


NOT_SERVED: Final = Served()


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose records the token's user may open, as far as was asked (design D16).

    `patients` are those of the patients asked about who can be opened, `own` is the user's own
    Patient. `is_unbounded` opens everyone's.
    """

    is_unbounded: bool = False
    patients: frozenset[str] = frozenset()
    own: str | None = None

    def opens(self, patients: Iterable[str]) -> bool:
        """Whether all of these records are open."""
        return self.is_unbounded or self.patients.issuperset(patients)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that `decide` looks at. The caller has verified the token and its audience.

    `patient` is the id of the Patient in the token's launch context, `fhir_user` the relative
    reference of its user (`Practitioner/123`), `reach` what that user may open: None where nobody
    stands behind the token, or no `user/` scope matters. `base` is the public FHIR base and
    `upstream` the server behind it, both absolute URLs; `served` is what that server says of the
    type asked for. That the grant is live is settled before: a token whose grant ended, by
    withdrawn consent or otherwise, does not authenticate (design D3).
    """

    request: FhirRequest
    scopes: tuple[Scope, ...]
    patient: str | None
    fhir_user: str | None
    base: str
    upstream: str
    served: Served = NOT_SERVED
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class UserAccess:
    """What `user/` scopes let out, in the terms of `Access`: of every record in reach."""

    scopes: Mapping[str, AnyOf]
    reach: Reach
    included: Mapping[str, tuple[AnyOf, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """What the response gate lets out.

    `scopes` maps each resource type that may leave to the `patient/` scopes it must match;
    `included` does so for resources that an `_include` brings: there each of the sets has to.
    `user` says the same of `user/` scopes; what either of the two lets out leaves. `only` is the
    one resource a read asked for, `version` the version of it. `is_own_user` marks a read of the
    token's own fhirUser (RSVR-13).
    """

    patient: str
    bases: Bases
    scopes: Mapping[str, AnyOf]
    only: Key | None = None
    is_own_user: bool = False
    included: Mapping[str, tuple[AnyOf, ...]] = field(default_factory=dict)
    user: UserAccess | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Allowed: `request` is what to send upstream, `access` what may come back.

    `access` is None only for the CapabilityStatement, which holds no personal data. `shape` is
    what the gateway does with the resources that leave, `notes` what it tells with them.
    `is_nothing` marks a search that can only be empty. `limit` is how many matches to show where
    they are thinned out one by one, so that the pages of the server behind must not show.
    `has_history` says that the server behind can tell what a deleted resource was (G29).
    """

    rule: str
    reason: str
    request: FhirRequest
    access: Access | None
    shape: Shape = field(default_factory=Shape)
    notes: tuple[str, ...] = ()
    is_nothing: bool = False
    limit: int | None = None
    has_history: bool = False


@dataclass(frozen=True, slots=True)
class Deny:
    """Refused by `rule`. `reason` and `allowed` are sentences for the app's developer.

    `status` is an HTTP status, `issue` a FHIR issue-type code. `scope` names a scope that would
    have covered the request, where a scope would help. A 404 stands for a record that is not in
    the user's reach, and is answered as one that is not there (rule c).
    """

    status: int
    rule: str
    reason: str
    issue: str
    allowed: str = ""
    scope: str | None = None
