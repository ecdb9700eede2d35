"""Small pieces of FHIR R4 JSON that every generated resource is made of."""

from datetime import date, datetime
from typing import Any

from smart.sandbox.outcome import Resource

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
NUCC = "http://nucc.org/provider-taxonomy"
NPI = "http://hl7.org/fhir/sid/us-npi"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"


def resource(
    resource_type: str, resource_id: str, updated: datetime, profile: str = "", **members: Any
) -> Resource:
    """A resource with its meta; members that are None are left out."""
    meta: dict[str, Any] = {"lastUpdated": instant(updated)}
    if profile:
        meta["profile"] = [US_CORE + profile]
    found = {name: value for name, value in members.items() if value is not None}
    return {"resourceType": resource_type, "id": resource_id, "meta": meta, **found}


def coding(system: str, code: str, display: str = "") -> dict[str, str]:
    """A Coding."""
    return {"system": system, "code": code, **({"display": display} if display else {})}


def concept(*codings: dict[str, str], text: str = "") -> dict[str, Any]:
    """A CodeableConcept; its text is the first display unless given."""
    return {"coding": list(codings), "text": text or codings[0].get("display", "")}


def term(system: str, code: str, display: str = "") -> dict[str, Any]:
    """A CodeableConcept of one code of terminology.hl7.org."""
    return {"coding": [coding(TERMINOLOGY + system, code, display)]}


def reference(target: Resource) -> dict[str, str]:
    """A literal reference to a generated resource."""
    return {"reference": f"{target['resourceType']}/{target['id']}"}


def quantity(value: float, unit: str, code: str) -> dict[str, Any]:
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def instant(moment: datetime) -> str:
    """A moment with a zone as FHIR dateTime."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def day(moment: date) -> str:
    """The date of a moment (datetime or date) as FHIR date."""
    return moment.isoformat()[:10]
