"""May this write pass, and may the record look like that afterwards? Pure.

Security-checklist 4 (G25 to G27, G42, G45; rules c and d), SCOP-03, RSVR-17, GRAN-04. First what
can be said without looking (403 where a scope or type is missing), then what was there before
(404 where it is not the caller's), then what would be there afterwards (403).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from smart.policy import links
from smart.policy.compartment import CLOSED, TABLE, subjects_of
from smart.policy.facts import AnyOf, Deny
from smart.policy.references import Bases, Naming, bases_of
from smart.policy.request import FhirInteraction, FhirRequest
from smart.scopes import match
from smart.scopes.syntax import Interaction, Level, Scope

#: The writes that are offered, and the scope letter each needs.
LETTERS: Final = {
    FhirInteraction.CREATE: Interaction.CREATE,
    FhirInteraction.UPDATE: Interaction.UPDATE,
    FhirInteraction.DELETE: Interaction.DELETE,
}
#: Types that decide on access or vouch for others, so that no app writes them (G45); what is in
#: no patient's compartment is not written either.
REFUSED: Final = frozenset({"Binary", "Consent", "Provenance", "RelatedPerson"})
WRITABLE: Final = frozenset(TABLE) - REFUSED
#: Contained resources that would smuggle such a type in.
_NEVER_CONTAINED: Final = REFUSED | {"AuditEvent", "SearchParameter", "Subscription"}
_REFERENCE_MEMBERS: Final = frozenset(
    {"id", "extension", "reference", "_reference", "type", "_type"}
    | {"identifier", "display", "_display"}
)


@dataclass(frozen=True, slots=True)
class WriteAccess:
    """What may be written: by the `patient/` scopes in the token's patient, by `user/` scopes in
    every record that its user may open."""

    patient: str | None
    bases: Bases
    of_patient: AnyOf
    of_user: AnyOf

    def scopes(self, patient: str, *, is_open: bool) -> AnyOf:
        """The scopes for a record of this patient; `is_open`: the user may open it (D16)."""
        own = self.of_patient if patient == self.patient else ()
        return (*own, *(self.of_user if is_open else ()))


def decide_write(
    request: FhirRequest, scopes: Collection[Scope], patient: str | None, base: str, upstream: str
) -> WriteAccess | Deny:
    """What the token lets be written, before anything is looked up."""
    resource_type, letter = request.resource_type or "", LETTERS[request.interaction]
    at_patient = match.covering(scopes, resource_type, letter, Level.PATIENT)
    at_user = match.covering(scopes, resource_type, letter, Level.USER)
    if not at_patient and not at_user:
        wanted = f"{Level.PATIENT}/{resource_type}.{letter}"
        reason = f"No granted scope covers {request.describe()}."
        return Deny(403, "scope.covers", reason, "forbidden", "", wanted)
    if refusal := _type_refusal(request):
        return refusal
    if not at_user and patient is None:
        allowed = "Launch with the scope launch or launch/patient."
        reason = "This token has no patient in context."
        return Deny(403, "context.patient", reason, "forbidden", allowed)
    is_other = resource_type == "Patient" and request.resource_id != patient
    if is_other and not at_user:
        reason = "This token is for another patient."
        return Deny(403, "compartment.patient", reason, "forbidden")
    return WriteAccess(patient, bases_of(base, upstream), at_patient, at_user)


def subject_of(resource: dict[str, Any], bases: Bases) -> str | None:
    """The one patient a resource is about and names; None where there is none, or more."""
    found = subjects_of(resource, bases)
    if not found.is_certain or len(found.owners) != 1 or not found.others <= found.owners:
        return None
    return next(iter(found.owners))


def refuse_image(
    resource: dict[str, Any],
    patient: str | None,
    scopes: AnyOf,
    bases: Bases,
    before: dict[str, Any] | None,
) -> Deny | None:
    """403 for a resource that must not become part of this patient's record, else None.

    `patient` is whose it is to be by `subject_of`, `scopes` those that reach that record, `before`
    the resource as it stands (None on create), already known to be the patient's.
    """
    if patient is None:
        return _deny(
            "write.subject",
            "The resource must name exactly one patient as its subject, by a relative reference.",
        )
    if before is not None and patient != subject_of(before, bases):
        return _deny("write.subject", "A resource cannot be moved to another patient.")
    if not scopes:
        return _deny("write.subject", "The resource is about a patient this token does not reach.")
    if (bad := _bad_reference(resource, patient, bases, before)) is not None:
        return _deny("write.reference", bad)
    if refusal := _refused_members(resource, before):
        return refusal
    if not match.admits_any(scopes, resource):
        return _deny("scope.constraint", "The resource is outside the granted scopes' limits.")
    return None


def is_writable_image(resource: dict[str, Any], scopes: AnyOf) -> bool:
    """Whether a resource as it stands is within the scopes of a write (GRAN-04)."""
    return match.admits_any(scopes, resource)


def _type_refusal(request: FhirRequest) -> Deny | None:
    resource_type = request.resource_type or ""
    if resource_type not in WRITABLE:
        reason = f"{resource_type} is not written through this server."
        return Deny(403, "write.type", reason, "not-supported")
    if resource_type == "Patient" and request.interaction is not FhirInteraction.UPDATE:
        reason = "A Patient is neither created nor deleted through this server."
        return Deny(403, "write.type", reason, "not-supported")
    return None


def _deny(rule: str, reason: str) -> Deny:
    return Deny(403, rule, reason, "forbidden")


def _bad_reference(
    resource: dict[str, Any], patient: str, bases: Bases, before: dict[str, Any] | None
) -> str | None:
    """What is wrong with the first reference that may not be written; None if all are well.

    A URL that stands there already, as what it is now, may stay: it opens nothing that it did not
    open before.
    """
    stood, stood_links = references_of(before), _members(before, *links.MEMBERS)
    contained = resource.get("contained")
    local = {
        str(one.get("id")): str(one.get("resourceType"))
        for one in (contained if isinstance(contained, list) else [])
        if isinstance(one, dict)
    }
    for node in _objects(resource):
        if _is_reference(node) and (bad := _problem(node, patient, bases, local, stood)):
            return bad
        new_links = _members_of(node, *links.MEMBERS) - stood_links
        if any(links.leads_here(one, bases) for one in new_links):
            return "A link to a resource of this server cannot be written; use a reference."
    return None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def references_of(value: object) -> frozenset[str]:
    """Every literal reference in a value, in contained resources and extensions too."""
    return _members(value, "reference")


def _members(value: object, *names: str) -> frozenset[str]:
    """The text that members of some names have, wherever they are."""
    return frozenset(one for node in _objects(value) for one in _members_of(node, *names))


def _members_of(node: dict[str, Any], *names: str) -> frozenset[str]:
    return frozenset(one for name in names if isinstance(one := node.get(name), str))


def strings_of(value: object) -> Iterator[str]:
    """Every string in a value, members' names apart."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict | list):
            waiting.extend(node.values() if isinstance(node, dict) else node)


def _is_reference(node: dict[str, Any]) -> bool:
    """A Reference, told from other elements by its members; when in doubt, yes."""
    if isinstance(node.get("reference"), str):
        return True
    names = node.keys()
    return isinstance(node.get("identifier"), dict) and names <= _REFERENCE_MEMBERS


def _problem(
    reference: dict[str, Any],
    patient: str,
    bases: Bases,
    local: dict[str, str],
    stood: frozenset[str],
) -> str | None:
    literal = reference.get("reference")
    is_new = isinstance(literal, str) and not literal.startswith("#") and literal not in stood
    if is_new and not _is_relative(str(literal), bases):
        return "References are written as [type]/[id]: no URLs, URNs, versions or searches."
    if is_new and str(literal).partition("/")[0] in CLOSED:
        return "The resource refers to one that may tell about several people."
    named = bases.patient_named(reference, local)
    if named is Naming.NOBODY or named == patient:
        return None
    if isinstance(named, str):
        return "The resource refers to another patient."
    return "The resource has a reference that does not say whom it names; give its type."


def _is_relative(literal: str, bases: Bases) -> bool:
    is_bare = "://" not in literal and "/_history/" not in literal
    return is_bare and bases.resolve(literal) is not None


def _refused_members(resource: dict[str, Any], before: dict[str, Any] | None) -> Deny | None:
    contained = resource.get("contained") or ()
    if any(one.get("resourceType") in _NEVER_CONTAINED for one in contained):
        return _deny("write.type", "The resource contains one of a type that is not written here.")
    if before is None:
        return None
    if not _labels(before) <= _labels(resource):
        return _deny("write.labels", "Security labels cannot be taken away: keep meta.security.")
    if resource.get("resourceType") == "Patient" and resource.get("link") != before.get("link"):
        return _deny("write.link", "Patient.link cannot be changed here.")
    return None


def _labels(resource: dict[str, Any]) -> set[tuple[str, str]]:
    """The security labels, by system and code."""
    meta = resource.get("meta")
    labels = meta.get("security", []) if isinstance(meta, dict) else []
    return {
        (str(one.get("system")), str(one.get("code")))
        for one in (labels if isinstance(labels, list) else [])
        if isinstance(one, dict)
    }
