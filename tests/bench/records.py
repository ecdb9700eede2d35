"""The records that the FHIR server of a run holds: one Observation of 2 KB, a search of twenty."""

import json
from pathlib import Path
from typing import Any

PATIENT = "789"
SEARCH_COUNT = 20
_READ_BYTES = 2048


def write(root: Path) -> bytes:
    """Write the answers below `root` as the static server serves them; returns the Observation."""
    folder = root / "fhir" / "Observation"
    folder.mkdir(parents=True)
    one = encoded(observation("1"))
    (folder / "1").write_bytes(one)
    (root / "fhir" / "search.json").write_bytes(encoded(_searchset()))
    return one


def observation(key: str) -> dict[str, Any]:
    """A laboratory result whose JSON is 2 KB long."""
    resource: dict[str, Any] = {
        "resourceType": "Observation",
        "id": key,
        "meta": {"versionId": "1", "lastUpdated": "2026-03-02T09:30:00.000+00:00"},
        "status": "final",
        "category": [{"coding": [_coding("observation-category", "laboratory", "Laboratory")]}],
        "code": {
            "coding": [
                {"system": "http://loinc.org", "code": "4548-4", "display": "Hemoglobin A1c"}
            ],
            "text": "Hemoglobin A1c",
        },
        "subject": {"reference": f"Patient/{PATIENT}"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2026-03-02T08:00:00Z",
        "valueQuantity": {
            "value": 6.30,
            "unit": "%",
            "system": "http://unitsofmeasure.org",
            "code": "%",
        },
        "interpretation": [
            {"coding": [_coding("v3-ObservationInterpretation", "H", "High")]} for _ in range(3)
        ],
        "referenceRange": [{"low": {"value": 4.0, "unit": "%"}, "high": {"value": 5.6}}],
        "note": [{"text": ""}],
    }
    resource["note"][0]["text"] = "n" * (_READ_BYTES - len(encoded(resource)))
    return resource


def encoded(resource: dict[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(resource, separators=(",", ":")).encode()


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    base = "http://terminology.hl7.org/CodeSystem"
    return {"system": f"{base}/{system}", "code": code, "display": display}


def _searchset() -> dict[str, Any]:
    entries = [
        {"resource": observation(str(number)), "search": {"mode": "match"}}
        for number in range(1, SEARCH_COUNT + 1)
    ]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}
