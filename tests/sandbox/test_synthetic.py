"""Codes, units and values of the synthetic records are real and plausible."""

import base64
from collections import Counter, defaultdict
from typing import Any

import pytest

from smart.sandbox.synthetic.course import creatinine_for, egfr
from tests.sandbox.records import by_patient, of_type, walk, with_problem

UNITS = {
    "mm[Hg]",
    "/min",
    "Cel",
    "%",
    "kg",
    "cm",
    "kg/m2",
    "mg/dL",
    "g/dL",
    "mmol/L",
    "mL/min/{1.73_m2}",
    "10*3/uL",
    "m[IU]/L",
    "mg/L",
    "U/L",
    "{score}",
}
SYSTEMS = {
    "http://loinc.org",
    "http://snomed.info/sct",
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://hl7.org/fhir/sid/icd-10-cm",
    "http://hl7.org/fhir/sid/cvx",
    "http://nucc.org/provider-taxonomy",
    "urn:ietf:bcp:47",
}


def quantities(observation: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [observation, *observation.get("component", [])]
    return [part["valueQuantity"] for part in parts if "valueQuantity" in part]


def test_every_observation_has_a_value_in_ucum(people):
    for r in of_type(people, "Observation"):
        if r["category"][0]["coding"][0]["code"] == "social-history":
            assert r["valueCodeableConcept"]["coding"]
            continue
        found = quantities(r)
        assert len(found) == (2 if "component" in r else 1)
        for quantity in found:
            assert quantity["system"] == "http://unitsofmeasure.org"
            assert quantity["code"] in UNITS
            assert quantity["unit"]
            assert quantity["value"] > 0


def test_interpretations_agree_with_the_reference_range(people):
    flags: Counter[str] = Counter()
    for r in of_type(people, "Observation"):
        if "interpretation" not in r:
            continue
        value, bounds = r["valueQuantity"]["value"], r["referenceRange"][0]
        low = bounds.get("low", {}).get("value", float("-inf"))
        high = bounds.get("high", {}).get("value", float("inf"))
        expected = "L" if value < low else "H" if value > high else "N"
        assert r["interpretation"][0]["coding"][0]["code"] == expected
        flags[expected] += 1
    assert flags["N"] > flags["H"] > 20
    assert flags["L"] > 20


def test_values_are_humanly_possible(people):
    limits = {
        "8867-4": (50, 120),
        "9279-1": (10, 26),
        "8310-5": (36, 39),
        "59408-5": (88, 100),
        "29463-7": (45, 130),
        "39156-5": (18, 36),
        "2951-2": (135, 145),
        "2823-3": (3.5, 5.3),
        "718-7": (9, 17),
        "13457-7": (60, 190),
    }
    for code, (low, high) in limits.items():
        values = [value for found in by_patient(people, code).values() for value in found]
        assert values
        assert min(values) >= low
        assert max(values) <= high


def test_body_mass_index_agrees_with_weight_and_height(people):
    weights, heights = by_patient(people, "29463-7"), by_patient(people, "8302-2")
    for patient, found in by_patient(people, "39156-5").items():
        for bmi, weight, height in zip(found, weights[patient], heights[patient], strict=True):
            assert bmi == pytest.approx(weight / (height / 100) ** 2, abs=0.1)


def test_treated_diabetes_improves_and_others_have_none(people):
    diabetics = with_problem(people, "44054006")
    assert diabetics
    for patient, values in by_patient(people, "4548-4").items():
        if patient in diabetics:
            assert values[0] > 8.4
            assert values[-1] < 7.3
        else:
            assert max(values) < 5.7
    treated = {
        r["subject"]["reference"]
        for r in of_type(people, "MedicationRequest")
        if r.get("medicationReference") == {"reference": "Medication/med-861007"}
    }
    assert treated == diabetics


def test_kidney_disease_shows_in_the_filtration_rate(hospital):
    ill = with_problem(hospital, "433144002")
    assert "Patient/456" in ill
    for patient, values in by_patient(hospital, "98979-8").items():
        if patient in ill:
            assert all(30 <= value < 60 for value in values)
        else:
            assert min(values) > 65


def test_blood_pressure_falls_under_treatment(people):
    ill = with_problem(people, "59621000")
    pressures = defaultdict(list)
    for r in of_type(people, "Observation"):
        if r["code"]["coding"][0]["code"] == "85354-9":
            systolic, diastolic = (part["valueQuantity"]["value"] for part in r["component"])
            assert diastolic < systolic
            pressures[r["subject"]["reference"]].append((r["effectiveDateTime"], systolic))
    for patient, found in pressures.items():
        values = [value for _, value in sorted(found)]
        if patient in ill:
            assert values[0] > 145
            assert values[-1] < 142
        else:
            assert max(values) < 130


def test_the_filtration_formula_is_its_own_inverse():
    assert round(egfr(0.9, 50, "female")) == 78  # National Kidney Foundation's calculator
    assert round(egfr(1.2, 60, "male")) == 69
    for gender in ("female", "male"):
        for rate in (30, 60, 90, 110):
            assert egfr(creatinine_for(rate, 55, gender), 55, gender) == pytest.approx(rate)


def test_reports_group_the_results_of_their_visit(people):
    results = {f"Observation/{r['id']}": r for r in of_type(people, "Observation")}
    for report in of_type(people, "DiagnosticReport"):
        assert report["result"]
        for link in report["result"]:
            result = results[link["reference"]]
            assert result["encounter"] == report["encounter"]
            assert result["basedOn"] == report["basedOn"]


def test_notes_are_readable_and_agree_with_the_record(hospital):
    notes = {r["id"]: r for r in of_type(hospital, "DocumentReference")}
    attachment = notes["note-789-1"]["content"][0]["attachment"]
    text = base64.b64decode(attachment["data"]).decode()
    assert text.startswith("John Doe, ")
    hba1c = by_patient(hospital, "4548-4")["Patient/789"][-1]
    assert f"HbA1c {hba1c} %" in text
    admission = notes["note-456-1"]["content"][0]["attachment"]
    assert admission["url"] == "Binary/note-456-1"
    binary = next(r for r in hospital if r["resourceType"] == "Binary")
    assert "Pneumonia" in base64.b64decode(binary["data"]).decode()


def loinc_check_digit(code: str) -> bool:
    """Mod 10 as LOINC defines it (LOINC Users' Guide, appendix C)."""
    digits, _, check = code.partition("-")
    odd = int("".join(reversed(digits))[::2]) * 2
    even = "".join(reversed(digits))[1::2]
    total = sum(int(sign) for sign in f"{odd}{even}")
    return -total % 10 == int(check)


def verhoeff(code: str) -> bool:
    """The check digit of a SNOMED CT identifier (Release File Specification 6.4)."""
    multiply = [[(a + b) % 5 if a < 5 and b < 5 else 0 for b in range(10)] for a in range(10)]
    for a in range(10):
        for b in range(10):
            turned, moved = a // 5, b // 5
            step = (a - b) % 5 if turned else (a + b) % 5
            multiply[a][b] = step + 5 * (turned ^ moved)
    permute = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    for _ in range(6):
        permute.append([permute[1][x] for x in permute[-1]])
    check = 0
    for place, sign in enumerate(reversed(code)):
        check = multiply[check][permute[place % 8][int(sign)]]
    return check == 0


def test_loinc_and_snomed_codes_have_right_check_digits(hospital):
    codings = [c for r in hospital for part in walk(r) for c in part.get("coding", [])]
    loinc = {c["code"] for c in codings if c["system"] == "http://loinc.org"}
    snomed = {c["code"] for c in codings if c["system"] == "http://snomed.info/sct"}
    assert len(loinc) > 30
    assert len(snomed) > 25
    assert {code for code in loinc if not loinc_check_digit(code)} == set()
    assert {code for code in snomed if not verhoeff(code)} == set()
    assert not loinc_check_digit("4548-5")
    assert not verhoeff("44054007")


def test_codes_are_of_known_systems(people):
    codings = [c for r in people for part in walk(r) for c in part.get("coding", [])]
    systems = {coding["system"] for coding in codings}
    assert systems - SYSTEMS == {
        s
        for s in systems
        if s.startswith(("http://terminology.hl7.org/CodeSystem/", "http://hl7.org/fhir/us/core/"))
    }
    displays = defaultdict(set)
    for coding in codings:
        if "display" in coding:
            displays[coding["system"], coding["code"]].add(coding["display"])
    assert all(len(names) == 1 for names in displays.values())
