"""Searching and paging the trail."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.events import Code, Outcome
from authfi.console import audit_search
from authfi.console.audit_search import PAGE_SIZE, PREFIXES, Group
from tests.audit.conftest import a_read
from tests.cast import a_person
from tests.console.conftest import read_by, refusal

pytestmark = pytest.mark.spec("A14")


@pytest.fixture
def trail(mercy, dr_ada, tell):
    """Five reads of two people about two patients with two apps."""
    ben = a_person(mercy, "nurse", name="Ben Quimbly", email="ben@mercy.example").user
    tell(
        mercy,
        read_by(dr_ada, 1, patient="456"),
        read_by(dr_ada, 2, patient="Patient/789", client_id="order-entry"),
        refusal(dr_ada, 3, patient="456"),
        read_by(ben, 4, patient="456"),
        read_by(ben, 5, patient="", outcome=Outcome.FAILURE),
    )
    return ben


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"person": "ada@mercy.example"}, [3, 2, 1]),
        ({"person": " ADA@mercy.example "}, [3, 2, 1]),
        ({"person": "ada quimby"}, [3, 2, 1]),
        ({"person": "quimb"}, [5, 4, 3, 2, 1]),
        ({"patient": "456"}, [4, 3, 1]),
        ({"patient": "Patient/456"}, [4, 3, 1]),
        ({"patient": "789"}, [2]),
        ({"patient": "45"}, []),
        ({"client": "order-entry"}, [2]),
        ({"client": "order"}, []),
        ({"outcome": "denied"}, [3]),
        ({"outcome": "failure"}, [5]),
        ({"group": "fhir"}, [5, 4, 3, 2, 1]),
        ({"group": "consent"}, []),
        ({"person": "ben@mercy.example", "patient": "456", "outcome": "success"}, [4]),
    ],
)
@pytest.mark.usefixtures("trail")
def test_a_search_finds_what_fits_and_nothing_else(admin, query, found):
    assert admin.objects(**query) == [f"Observation/{number}" for number in found]


def test_a_person_is_found_by_the_account_too(admin, trail):
    assert admin.objects(person=str(trail.pk)) == ["Observation/5", "Observation/4"]


@pytest.mark.usefixtures("trail")
def test_days_are_whole_days(admin):
    today = timezone.now().date()
    day = timedelta(days=1)
    assert len(admin.objects(since=today - day, until=today + day)) == 5
    assert admin.objects(until=today - day) == []
    assert admin.objects(since=today + day) == []
    at = admin.rows()[0].event.at.date()
    assert len(admin.objects(since=at, until=at)) > 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"person": "nobody@mercy.example"}, "person"),
        ({"person": "Zacharias"}, "person"),
        ({"person": "x" * 300}, "person"),
        ({"person": "a\0b"}, "person"),
        ({"patient": "4 5' OR 1"}, "patient"),
        ({"patient": ".."}, "patient"),
        ({"patient": "Patient/."}, "patient"),
        ({"patient": "x" * 65}, "patient"),
        ({"outcome": "maybe"}, "outcome"),
        ({"group": "auth."}, "group"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-02-30"}, "since"),
        ({"since": "2026-02-02", "until": "2026-02-01"}, "until"),
        ({"before": "0"}, "before"),
        ({"before": "-1"}, "before"),
        ({"before": "9" * 30}, "before"),
        ({"before": "1;DROP"}, "before"),
    ],
)
def test_a_search_that_makes_no_sense_is_answered_in_words(admin, mercy, readings, query, field):
    response = admin.get("console/audit", **query)
    assert response.status_code == 400
    assert list(response.context["form"].errors) == [field]
    assert b"This search did not work." in response.content
    assert response.context["rows"] == []
    assert readings(mercy) == []


@pytest.mark.parametrize(
    "query", [{"until": "9999-12-31"}, {"since": "0001-01-01"}, {"before": 2**63 - 1}]
)
@pytest.mark.usefixtures("trail")
def test_the_ends_of_time_are_no_error(admin, query):
    assert len(admin.objects(**query)) == 5


@pytest.mark.usefixtures("trail")
def test_of_too_many_people_none_is_searched_by_name(admin, monkeypatch):
    monkeypatch.setattr(audit_search, "MAX_NAMES", 2)
    response = admin.get("console/audit", person="quimby")
    assert response.status_code == 400
    assert b"too many people" in response.content
    assert len(admin.objects(person="ada@mercy.example")) == 3


def test_a_walk_meets_each_event_once_while_new_ones_arrive(admin, mercy, dr_ada, tell):
    tell(mercy, *(read_by(dr_ada, number) for number in range(2 * PAGE_SIZE + 20)))
    walked: list[str] = []
    query: dict[str, int] = {}
    sizes: list[int] = []
    while True:
        response = admin.get("console/audit", group="fhir", **query)
        rows = response.context["rows"]
        walked += [row.object for row in rows]
        sizes.append(len(rows))
        tell(mercy, *(read_by(dr_ada, f"later-{number}") for number in range(7)))
        if response.context["older"] is None:
            break
        query = {"before": response.context["older"]}
        link = f"?group=fhir&amp;before={query['before']}"
        assert link in response.content.decode()
    expected = [f"Observation/{number}" for number in reversed(range(2 * PAGE_SIZE + 20))]
    assert walked == expected
    assert sizes == [PAGE_SIZE, PAGE_SIZE, 20]


def test_a_full_last_page_has_no_next(admin, mercy, dr_ada, tell):
    tell(mercy, *(read_by(dr_ada, number) for number in range(PAGE_SIZE)))
    response = admin.get("console/audit", group="fhir")
    assert len(response.context["rows"]) == PAGE_SIZE
    assert response.context["older"] is None
    assert b'rel="next"' not in response.content


@pytest.mark.parametrize("code", Code)
def test_every_code_belongs_to_one_group(code):
    groups = [group for group, prefixes in PREFIXES.items() if code.startswith(prefixes)]
    assert len(groups) == 1
    assert set(PREFIXES) == set(Group)


def test_an_empty_answer_says_so(admin, mercy, tell):
    tell(mercy, a_read())
    response = admin.get("console/audit", client="no-such-app")
    assert response.status_code == 200
    assert b"Nothing found" in response.content
