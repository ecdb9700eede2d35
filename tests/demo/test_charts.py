"""Values the EHR's pages show of FHIR resources."""

from datetime import date

import pytest

from smart.demo import charts


def observation(value: float, at: str, **more: object) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "code": {"text": "Glucose"},
        "effectiveDateTime": at,
        "valueQuantity": {"value": value, "unit": "mg/dL"},
        **more,
    }


def test_a_patient_in_one_line():
    line = charts.patient_line(
        {
            "id": "456",
            "name": [{"given": ["Margaret"], "family": "Ellis"}],
            "birthDate": "1958-03-14",
            "gender": "female",
            "identifier": [
                {"value": "1-2-3"},
                {"type": {"coding": [{"code": "MR"}]}, "value": "12344"},
            ],
        }
    )
    assert line == charts.PatientLine("456", "Margaret Ellis", date(1958, 3, 14), "female", "12344")


@pytest.mark.parametrize("birth_date", [None, "1958", "1958-03"])
def test_what_is_not_recorded_stays_empty(birth_date):
    line = charts.patient_line({"id": "1", "birthDate": birth_date})
    assert line == charts.PatientLine("1", "(no name)", None, "", "")


def test_the_newest_value_counts_and_the_trend_runs_from_old_to_new():
    [line] = charts.result_lines(
        [
            observation(152, "2026-10-31T14:10:00Z", interpretation=[{"text": "High"}]),
            observation(90, "2024-03-29T14:35:00Z"),
        ]
    )
    assert (line.name, line.value, line.note) == ("Glucose", "152 mg/dL", "High")
    assert line.trend == "3.0,21.0 93.0,3.0"
    assert line.trend_end == ("93.0", "3.0")


def test_a_blood_pressure_has_two_numbers():
    parts = [{"valueQuantity": {"value": value, "unit": "mmHg"}} for value in (134, 82)]
    [line] = charts.result_lines([{"code": {"text": "Blood pressure"}, "component": parts}])
    assert line.value == "134 / 82 mmHg"


def test_observations_without_numbers_are_left_out():
    smoker = {"code": {"text": "Smoking"}, "valueCodeableConcept": {"text": "Ex-smoker"}}
    assert charts.result_lines([smoker]) == []


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0, 5.0]])
def test_a_flat_line_stays_inside_the_box(values):
    for x, y in charts.trend_points(values):
        assert 0 <= float(x) <= charts.TREND_WIDTH
        assert 0 <= float(y) <= charts.TREND_HEIGHT


def test_visits_come_newest_first():
    visits = charts.visit_lines(
        {"id": name, "status": status, "period": {"start": f"{year}-01-01T08:00:00Z"}}
        for name, year, status in (("a", 2024, "finished"), ("b", 2026, "in-progress"))
    )
    assert [(visit.id, visit.is_open) for visit in visits] == [("b", True), ("a", False)]
