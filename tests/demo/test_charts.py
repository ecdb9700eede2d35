"""Values the EHR's pages show of FHIR resources."""

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
