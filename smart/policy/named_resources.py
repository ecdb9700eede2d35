"""What a resource to be written refers to in a record, and whether it may (G13, G25, G47). Pure.

A reference into another patient's record would carry it into this one for whoever follows it
there, past this gateway too. So what is newly named must be of the same record, and nothing that
its writer cannot read: else a refusal would tell what is there.
"""

from collections.abc import Collection
from typing import Any, Final

from smart.policy.compartment import TABLE, needed_patients
from smart.policy.references import Bases, Key
from smart.policy.write_rules import references_of
from smart.scopes import match
from smart.scopes.syntax import Interaction, Level, Scope

#: Resources that are looked up for one write.
MOST: Final = 20


def newly_named(
    resource: dict[str, Any], before: dict[str, Any] | None, bases: Bases
) -> frozenset[Key]:
    """What of records a resource refers to that it did not before; patients and itself apart.

    Patients are judged by `write_rules.refuse_image`, which also leaves no literal reference that
    names nothing by type and id. Contained resources and extensions count.
    """
    stood = references_of(before)
    found = {bases.resolve(one) for one in references_of(resource) - stood}
    itself = (resource.get("resourceType"), resource.get("id"))
    return frozenset(
        key for key in found if key and key[0] in TABLE and key[0] != "Patient" and key != itself
    )


def may_be_named(
    target: dict[str, Any] | None,
    patient: str,
    scopes: Collection[Scope],
    levels: Collection[Level],
    bases: Bases,
) -> bool:
    """May a resource of this patient's refer to `target` (None: there is none)?

    `levels` are those at which `scopes` reach the patient's record.
    """
    if target is None or needed_patients(target, bases) != frozenset({patient}):
        return False
    resource_type = str(target.get("resourceType"))
    return any(
        match.admits_any(match.covering(scopes, resource_type, letter, level), target)
        for level in levels
        for letter in (Interaction.READ, Interaction.SEARCH)
    )
