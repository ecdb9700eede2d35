"""What can be recorded: the catalogue of codes, and an event before it is stored (A1, A2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Outcome(StrEnum):
    """How it ended: done, refused by a rule, or failed."""

    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"


class Code(StrEnum):
    """What happened (A1): what something of ours records, no more.

    A code is never renamed: rows keep it for years.
    """

    LOGIN_OK = "auth.login.ok"
    LOGIN_FAIL = "auth.login.fail"
    MFA_OK = "auth.mfa.ok"
    MFA_FAIL = "auth.mfa.fail"
    ENROL = "auth.enrol"
    LOGOUT = "auth.logout"
    LOCK = "auth.lock"
    LAUNCH_START = "launch.start"
    LAUNCH_CHOOSE = "launch.choose"
    LAUNCH_DENY = "launch.deny"
    CONSENT_GRANT = "consent.grant"
    CONSENT_DENY = "consent.deny"
    CONSENT_REVOKE = "consent.revoke"
    CONSENT_NARROW = "consent.narrow"
    SCOPE_REDUCED = "scope.reduced"
    TOKEN_ISSUE = "token.issue"
    TOKEN_REFRESH = "token.refresh"
    TOKEN_REUSE = "token.reuse"
    TOKEN_REVOKE = "token.revoke"
    TOKEN_INTROSPECT = "token.introspect"
    TOKEN_DENY = "token.deny"
    FHIR_READ_ALLOW = "fhir.read.allow"
    FHIR_READ_DENY = "fhir.read.deny"
    FHIR_SEARCH_ALLOW = "fhir.search.allow"
    FHIR_SEARCH_DENY = "fhir.search.deny"
    FHIR_CREATE_ALLOW = "fhir.create.allow"
    FHIR_CREATE_DENY = "fhir.create.deny"
    FHIR_UPDATE_ALLOW = "fhir.update.allow"
    FHIR_UPDATE_DENY = "fhir.update.deny"
    FHIR_DELETE_ALLOW = "fhir.delete.allow"
    FHIR_DELETE_DENY = "fhir.delete.deny"
    FHIR_INTENT = "fhir.intent"
    FHIR_OP_DENY = "fhir.op.deny"
    ADMIN_TENANT = "admin.tenant"
    ADMIN_HEALTHCARE = "admin.healthcare"
    ADMIN_USER = "admin.user"
    ADMIN_ROLE = "admin.role"
    ADMIN_APP = "admin.app"
    ADMIN_SESSION = "admin.session"
    ADMIN_DENY = "admin.deny"
    POLICY_CHANGE = "policy.change"
    AUDIT_READ = "audit.read"
    AUDIT_VERIFY = "audit.verify"
    AUDIT_ANOMALY = "audit.anomaly"


_DESCRIPTIONS = {
    Code.LOGIN_OK: "signed in",
    Code.LOGIN_FAIL: "failed to sign in",
    Code.MFA_OK: "passed the second step of signing in",
    Code.MFA_FAIL: "failed the second step of signing in",
    Code.ENROL: "set up a sign-in method",
    Code.LOGOUT: "signed out",
    Code.LOCK: "had a sign-in method locked",
    Code.LAUNCH_START: "launched an app",
    Code.LAUNCH_CHOOSE: "chose a record for an app",
    Code.LAUNCH_DENY: "was refused opening an app",
    Code.CONSENT_GRANT: "allowed an app access",
    Code.CONSENT_DENY: "refused an app access",
    Code.CONSENT_REVOKE: "withdrew an app's access",
    Code.CONSENT_NARROW: "let an app see less than before",
    Code.SCOPE_REDUCED: "was given less access than was asked for",
    Code.TOKEN_ISSUE: "was given access",
    Code.TOKEN_REFRESH: "renewed its access",
    Code.TOKEN_REUSE: "tried to renew access with a used-up key",
    Code.TOKEN_REVOKE: "ended an app's access",
    Code.TOKEN_INTROSPECT: "checked whether an access still holds",
    Code.TOKEN_DENY: "was refused access",
    Code.FHIR_READ_ALLOW: "read a record",
    Code.FHIR_READ_DENY: "was refused a record",
    Code.FHIR_SEARCH_ALLOW: "searched records",
    Code.FHIR_SEARCH_DENY: "was refused a search",
    Code.FHIR_CREATE_ALLOW: "created a record",
    Code.FHIR_CREATE_DENY: "was refused creating a record",
    Code.FHIR_UPDATE_ALLOW: "changed a record",
    Code.FHIR_UPDATE_DENY: "was refused changing a record",
    Code.FHIR_DELETE_ALLOW: "deleted a record",
    Code.FHIR_DELETE_DENY: "was refused deleting a record",
    Code.FHIR_INTENT: "was about to change a record",
    Code.FHIR_OP_DENY: "was refused an operation on records",
    Code.ADMIN_TENANT: "changed the organisation",
    Code.ADMIN_HEALTHCARE: "changed the connection to the record server",
    Code.ADMIN_USER: "changed a person's account",
    Code.ADMIN_ROLE: "changed a person's roles",
    Code.ADMIN_APP: "changed an app's registration",
    Code.ADMIN_SESSION: "ended a person's sessions",
    Code.ADMIN_DENY: "was refused a page of the console",
    Code.POLICY_CHANGE: "changed a policy",
    Code.AUDIT_READ: "read the audit trail",
    Code.AUDIT_VERIFY: "checked the audit trail for changes",
    Code.AUDIT_ANOMALY: "found something wrong in the audit trail",
}


def describe(code: str) -> str:
    """A few plain words that follow the actor's name; an unknown code describes itself."""
    try:
        return _DESCRIPTIONS[Code(code)]
    except ValueError:
        return code


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who did it. `aal` is the strength of the sign-in, 0 where nobody signed in."""

    type: str
    id: str = ""
    roles: tuple[str, ...] = ()
    aal: int = 0

    @classmethod
    def person(cls, id: object, *, roles: tuple[str, ...] = (), aal: int = 0) -> Self:  # noqa: A002
        """A person with an account, by the account's UUID."""
        return cls(type="person", id=str(id), roles=roles, aal=aal)

    @classmethod
    def client(cls, client_id: str) -> Self:
        """An app acting in its own name."""
        return cls(type="client", id=client_id)

    @classmethod
    def system(cls, name: str) -> Self:
        """AuthFI itself: a task or a command, by its name."""
        return cls(type="system", id=name)

    @classmethod
    def anonymous(cls) -> Self:
        """Nobody we know."""
        return cls(type="anonymous")


# What `Event` and the request say of themselves; `details` adds to it and never replaces it.
RESERVED = frozenset({"actor", "patient", "object", "reason", "rule", "ip", "user_agent"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened. Time, request id, address and user agent are added when recorded.

    `patient` is the logical id of one Patient, also taken as `Patient/789`: an event about three
    patients is three events (A3).
    `details` holds the rest of A2 under these names where they apply: on_behalf_of, scopes, jti,
    purpose_of_use, consent, policy_version, before, after (digests), query. It is stored sealed.
    Raises ValueError where `details` holds a reserved name.
    """

    code: Code
    outcome: Outcome
    actor: Actor
    client_id: str = ""
    patient: str = ""
    object: str = ""
    reason: str = ""
    rule: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if taken := RESERVED & self.details.keys():
            raise ValueError(f"details may not hold {sorted(taken)}")
        object.__setattr__(self, "patient", self.patient.removeprefix("Patient/"))
