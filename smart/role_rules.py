"""A tenant's scope rules as values that can be evaluated (D5, D10)."""

from collections.abc import Collection

from smart.policy import scope_rules
from smart.policy.scope_rules import Rule
from smart.scopes.match import Narrowed
from smart.scopes.syntax import Scope
from tenants import policies
from tenants.scope_rules import ScopeRulesPolicy


def rules_of(policy: ScopeRulesPolicy) -> tuple[Rule, ...]:
    """The rules of a policy, in order."""
    return tuple(
        scope_rules.rule_of(
            rule["name"], rule["scopes"], rule["roles"], rule["aal"], rule["max_age_seconds"]
        )
        for rule in policy.rules
    )


def within_roles(scopes: Collection[Scope], roles: Collection[str]) -> Narrowed:
    """What people with these roles can use of the scopes, by the bound tenant's rules."""
    rules = rules_of(policies.scope_rules())
    return scope_rules.within_roles(scopes, rules, frozenset(roles))
