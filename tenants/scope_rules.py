"""Which roles may use which clinical scopes, as a tenant writes it down (D5, D10).

A document of `tenants.policies`; `smart.policy.scope_rules` evaluates it. Checked here is the form
only, since what a scope means is known further up.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import ValidationError

MAX_RULES: Final = 200
MAX_AGE_SECONDS: Final = 24 * 3600

_MEMBERS: Final = frozenset({"name", "scopes", "roles", "aal", "max_age_seconds"})
_name = re.compile(r"[a-z][a-z0-9-]{0,63}").fullmatch
_scope = re.compile(r"(?:\*|patient|user|system)/(?:\*|[A-Z][A-Za-z]{1,63})\.(?=.)c?r?u?d?s?")
#: What patients may add to, change in and take from their own record, with an app they allowed.
_BY_PATIENTS: Final = (
    "Appointment",
    "AppointmentResponse",
    "Communication",
    "Goal",
    "MedicationStatement",
    "Observation",
    "QuestionnaireResponse",
)


def default_rules() -> list[dict[str, Any]]:
    """A doctor orders medication, with a second factor of the last 15 minutes.

    Clinicians write the rest, patients what is theirs to tell.
    """
    return [
        {
            "name": "medication-orders",
            "scopes": ["*/MedicationRequest.cud"],
            "roles": ["doctor"],
            "aal": 2,
            "max_age_seconds": 900,
        },
        {
            "name": "patients-own",
            "scopes": [f"*/{resource_type}.cud" for resource_type in _BY_PATIENTS],
            "roles": ["doctor", "nurse", "patient"],
            "aal": 1,
            "max_age_seconds": 0,
        },
        {
            "name": "clinical-writes",
            "scopes": ["*/*.cud"],
            "roles": ["doctor", "nurse"],
            "aal": 2,
            "max_age_seconds": 0,
        },
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRulesPolicy:
    """Rules in order, of which the first that covers an action decides.

    Each has a `name`, `scopes` (a level of `*` means any), `roles`, the strength of sign-in `aal`
    and its greatest age `max_age_seconds`, 0 for any. Writes that no rule covers are refused.
    """

    rules: list[dict[str, Any]] = field(default_factory=default_rules)

    def check(self) -> None:
        """Raises ValidationError, naming the rule."""
        if len(self.rules) > MAX_RULES:
            raise ValidationError({"rules": f"At most {MAX_RULES} rules."})
        for number, rule in enumerate(self.rules, 1):
            if problem := _problem(rule):
                raise ValidationError({"rules": f"Rule {number}: {problem}"})


def _problem(rule: object) -> str | None:
    if not isinstance(rule, Mapping) or set(rule) != _MEMBERS:
        return f"it has the members {', '.join(sorted(_MEMBERS))}."
    if not (isinstance(rule["name"], str) and _name(rule["name"])):
        return "its name is of small letters, digits and hyphens."
    if not _texts(rule["scopes"]) or not all(map(_scope.fullmatch, rule["scopes"])):
        return "its scopes are like patient/Observation.cud or */*.cud."
    if not _texts(rule["roles"]):
        return "its roles are a list of at least one."
    if rule["aal"] not in (1, 2, 3):
        return "its aal is 1, 2 or 3."
    age = rule["max_age_seconds"]
    if type(age) is not int or not 0 <= age <= MAX_AGE_SECONDS:
        return f"its max_age_seconds are from 0 to {MAX_AGE_SECONDS}."
    return None


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
