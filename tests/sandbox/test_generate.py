"""The synthetic hospitals: same every time, whole, plausible, and apart from each other."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from itertools import pairwise

import orjson
import pytest

from smart.sandbox.generate import DEMO_ENCOUNTER, DEMO_PATIENT, SEEDS, generate
from smart.sandbox.parameters import PARAMETERS
from smart.sandbox.resource_types import RESOURCE_TYPES
from smart.sandbox.synthetic.people import make_npi
from tests.sandbox.conftest import ANCHOR
from tests.sandbox.records import by_patient, of_type, walk


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_day_gives_the_same_bytes(seed):
    assert orjson.dumps(generate(seed, ANCHOR)) == orjson.dumps(generate(seed, ANCHOR))


def test_another_month_moves_dates_only(hospital):
    later = generate("general-hospital", date(2026, 12, 1))
    assert [r["id"] for r in later] == [r["id"] for r in hospital]
    assert by_patient(later, "718-7") == by_patient(hospital, "718-7")
    first = next(r for r in later if r["id"] == DEMO_ENCOUNTER)
    assert first["period"]["start"].startswith("2026-11-30")


def test_ids_are_unique_and_valid(people):
    names = Counter((r["resourceType"], r["id"]) for r in people)
    assert max(names.values()) == 1
    assert all(len(name) <= 64 and name.isascii() for _, name in names)
    assert {kind for kind, _ in names} <= RESOURCE_TYPES


def test_every_reference_resolves(people):
    known = {f"{r['resourceType']}/{r['id']}" for r in people}
    links = [part["reference"] for r in people for part in walk(r) if "reference" in part]
    assert len(links) > 10_000
    assert set(links) <= known


def test_what_is_about_a_patient_refers_to_that_patient_only(people):
    for r in people:
        about = {p["reference"] for p in walk(r) if str(p.get("reference")).startswith("Patient/")}
        if r["resourceType"] != "Group":
            assert len(about) <= 1
            own = about.pop().split("/")[1] if about else None
            assert own is None or own in r["id"]


def test_nothing_lies_in_the_future(people):
    limit = datetime(ANCHOR.year, ANCHOR.month, ANCHOR.day, tzinfo=UTC)
    assert all(datetime.fromisoformat(r["meta"]["lastUpdated"]) <= limit for r in people)
    starts = [r["period"]["start"] for r in of_type(people, "Encounter")]
    assert min(starts) > "2023-10"
    assert max(starts) < limit.isoformat()


def test_the_cast_of_the_demo(hospital):
    found = {f"{r['resourceType']}/{r['id']}": r for r in hospital}
    assert DEMO_PATIENT == "456"
    names = {key: found[f"Patient/{key}"]["name"][0]["text"] for key in ("456", "789", "790")}
    assert names == {"456": "Margaret Ellis", "789": "John Doe", "790": "Jane Doe"}
    assert found["Patient/789"]["identifier"][0]["value"] == "12345"
    assert found["Patient/790"]["identifier"][0]["value"] == "12346"
    emails = [t["value"] for t in found["Patient/789"]["telecom"] if t["system"] == "email"]
    assert emails == ["john.doe@email.com"]
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567890"}
    assert found["Practitioner/123"]["identifier"] == [npi]
    assert found["Practitioner/123"]["name"][0]["family"] == "Smith"
    assert found["Practitioner/456"]["identifier"][0]["value"] == "0987654321"
    stay = found[f"Encounter/{DEMO_ENCOUNTER}"]
    assert stay["status"] == "in-progress"
    assert stay["subject"]["reference"] == "Patient/456"
    assert stay["participant"][0]["individual"]["reference"] == "Practitioner/123"
    assert len(of_type(hospital, "Patient")) >= 23


def test_the_nurse_is_on_some_care_teams_only(hospital):
    teams = {
        r["subject"]["reference"]: {p["member"]["reference"] for p in r["participant"]}
        for r in of_type(hospital, "CareTeam")
    }
    with_nurse = {name for name, members in teams.items() if "Practitioner/456" in members}
    assert "Patient/456" in with_nurse
    assert "Patient/789" in with_nurse
    assert with_nurse < set(teams)


def test_two_hospitals_share_ids_but_no_people(hospital, clinic):
    names = [
        {r["id"]: r["name"][0]["text"] for r in of_type(resources, "Patient")}
        for resources in (hospital, clinic)
    ]
    shared = names[0].keys() & names[1].keys()
    assert shared == {"456", "789", "790"}
    assert all(names[0][key] != names[1][key] for key in shared)
    assert set(names[0].values()).isdisjoint(names[1].values())
    mrns = [
        {r["identifier"][0]["value"] for r in of_type(resources, "Patient")}
        for resources in (hospital, clinic)
    ]
    assert mrns[0].isdisjoint(mrns[1])


def test_every_patient_has_a_whole_record(people):
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for r in people:
        link = r.get("subject") or r.get("patient") or r.get("beneficiary")
        if link:
            kinds[link["reference"]][r["resourceType"]] += 1
    for patient in of_type(people, "Patient"):
        counts = kinds[f"Patient/{patient['id']}"]
        assert counts["Encounter"] >= 5
        assert counts["Observation"] >= 60
        assert counts["DocumentReference"] == 3
        for kind in ("AllergyIntolerance", "DiagnosticReport", "Immunization", "CareTeam"):
            assert counts[kind] >= 1
    with_orders = {r["subject"]["reference"] for r in of_type(people, "MedicationRequest")}
    with_problems = {r["subject"]["reference"] for r in of_type(people, "Condition")}
    assert with_orders == with_problems


def test_search_parameters_find_something_in_the_data(hospital):
    """Types that the data has are types that search knows, Binary apart."""
    assert {r["resourceType"] for r in hospital} - PARAMETERS.keys() == {"Binary"}


def test_made_npis_have_a_right_check_digit_and_are_unused(people):
    def is_valid(npi: str) -> bool:
        digits = [int(sign) for sign in f"80840{npi}"]
        doubled = [sum(divmod(2 * d, 10)) if n % 2 else d for n, d in enumerate(reversed(digits))]
        return sum(doubled) % 10 == 0

    assert is_valid("1234567893")
    assert not is_valid("1234567890")
    for r in of_type(people, "Practitioner"):
        npi = r["identifier"][0]["value"]
        assert npi in {"1234567890", "0987654321"} or (is_valid(npi) and npi[0] == "2")
        assert is_valid(npi) == ("profile" in r["meta"])
    assert is_valid(make_npi("99"))


def test_visits_are_numbered_from_the_newest(people):
    starts = defaultdict(list)
    for r in of_type(people, "Encounter"):
        starts[r["subject"]["reference"]].append(r["period"]["start"])
    for found in starts.values():
        assert all(newer > older for newer, older in pairwise(found))
