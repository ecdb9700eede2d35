"""The audit page: what a row says, and that reading it is recorded."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.events import Actor, Code, Event, Outcome
from authfi.accounts.models import User
from authfi.lib import tenancy
from smart.models import Application
from tests.audit.conftest import UNREADABLE, a_read, forging
from tests.console.conftest import read_by, refusal

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOSTILE = "<script>alert(1)</script>'\" onload=x"


@pytest.fixture
def growth_chart(mercy):
    with tenancy.bind(mercy):
        return Application.objects.create(
            client_id="growth-chart",
            name="Growth Chart",
            client_type="public",
            grant_types="authorization_code",
        )


@pytest.mark.spec("A2", "A14", "D10")
def test_a_row_says_who_what_when_whence_whose_which_app_and_why(
    admin, dr_ada, growth_chart, tell, mercy
):
    tell(mercy, refusal(dr_ada, 9, patient="Patient/456"), user_agent=FIREFOX)
    row = admin.rows()[0]
    assert (row.who, row.who_note) == ("Ada Quimby", "doctor")
    assert (row.what, row.object) == ("was refused a record", "Observation/9")
    assert (row.patient, row.app) == ("Patient/456", "Growth Chart")
    assert (row.ip, row.agent) == ("203.0.113.7", "Firefox, Linux")
    assert (row.tone, row.result) == ("denied", "Refused")
    assert (row.rule, row.why) == ("inside_compartment", "Another patient's.")
    html = admin.get("console/audit").content.decode()
    for text in ("Ada Quimby", "Observation/9", "Patient/456", "Growth Chart", "203.0.113.7"):
        assert text in html
    assert f'<time class="nowrap" datetime="{row.iso}">' in html
    assert '<tr class="denied">' in html
    assert '<span class="badge denied">Refused</span>' in html
    assert "Another patient&#x27;s." in html


@pytest.mark.parametrize(
    ("actor", "said"),
    [
        (Actor.client("growth-chart"), ("Growth Chart", "app")),
        (Actor.client("gone-app"), ("gone-app", "app")),
        (Actor.system("tenants"), ("System", "tenants")),
        (Actor.anonymous(), ("Somebody unknown", "")),
        (Actor.person("0f0e0d0c-0000-4000-8000-000000000000"), ("Former account 0f0e0d0c", "")),
        (Actor.person("not-a-uuid"), ("Former account not-a-uu", "")),
    ],
)
@pytest.mark.usefixtures("growth_chart")
def test_every_kind_of_actor_has_a_name(admin, mercy, tell, actor, said):
    tell(mercy, a_read(actor=actor))
    row = admin.rows()[0]
    assert (row.who, row.who_note) == said


def test_on_whose_behalf_and_about_whom_are_named(admin, mercy, dr_ada, tell):
    issued = Event(
        code=Code.TOKEN_ISSUE,
        outcome=Outcome.SUCCESS,
        actor=Actor.client("growth-chart"),
        details={"on_behalf_of": str(dr_ada.pk)},
    )
    changed = Event(
        code=Code.ADMIN_ROLE,
        outcome=Outcome.SUCCESS,
        actor=Actor.system("people"),
        object=f"User/{dr_ada.pk}",
    )
    tell(mercy, issued, changed)
    about, behalf = admin.rows()[:2]
    assert (about.what, about.object, about.result) == (
        "changed a person's roles",
        "Ada Quimby",
        "Done",
    )
    assert (behalf.behalf, behalf.result) == ("Ada Quimby", "Allowed")


def test_what_was_left_out_of_the_scopes_is_said(admin, mercy, dr_ada, tell):
    reduced = Event(
        code=Code.SCOPE_REDUCED,
        outcome=Outcome.DENIED,
        actor=Actor.person(dr_ada.pk),
        details={"left_out": {"user/*.rs": "role_policy"}},
    )
    tell(mercy, reduced)
    assert admin.rows()[0].why == "Left out: user/*.rs (role_policy)"


@pytest.mark.spec("A14", "A10")
def test_reading_is_recorded_with_what_was_asked(admin, mercy, dr_ada, tell, readings):
    tell(mercy, read_by(dr_ada, 1, patient="456"))
    admin.rows(person="ada@mercy.example", patient="Patient/456", until="2100-01-01")
    (reading,) = readings(mercy)
    assert reading.outcome == "success"
    assert reading.details["actor"] == {
        "type": "person",
        "id": str(admin.person.user.pk),
        "roles": ["admin"],
        "aal": 2,
    }
    assert reading.details["patient"] == "456"
    assert reading.details["query"] == {
        "people": [str(dr_ada.pk)],
        "patient": "456",
        "until": "2100-01-01",
    }
    assert reading.details["returned"] == 1
    assert "ada@mercy.example" not in str(reading.details)


@pytest.mark.spec("A14")
def test_readings_do_not_bury_the_trail_but_can_be_seen(admin, mercy, dr_ada, tell):
    tell(mercy, read_by(dr_ada, 4))
    for _ in range(3):
        assert admin.rows()[0].object == "Observation/4"
    shown = [row.event.code for row in admin.rows(readings="on")[:4]]
    assert shown == ["audit.read"] * 3 + ["fhir.read.allow"]
    assert {row.event.code for row in admin.rows(group="audit")} == {"audit.read"}


def test_one_hostile_client_does_not_run_anything(admin, mercy, dr_ada, tell):
    hostile = read_by(dr_ada, HOSTILE, client_id=HOSTILE, reason=HOSTILE, rule=HOSTILE)
    tell(mercy, hostile, user_agent=HOSTILE)
    event = admin.rows()[0].event
    for page in ("console", "console/audit", f"console/audit/{event.pk}"):
        html = admin.get(page).content.decode()
        assert "&lt;script&gt;" in html
        assert "<script>" not in html


@pytest.mark.spec("A8")
def test_a_record_changed_in_the_database_is_shown_as_such(admin, mercy, dr_ada, tell):
    tell(mercy, read_by(dr_ada, 3))
    event = admin.rows()[0].event
    with forging(mercy) as forger:
        (details,) = forger.columns(event.seq, "details")
        forger.edit(event.seq, "details", details[:-1] + bytes([details[-1] ^ 1]))
    row = admin.rows()[0]
    assert (row.event.pk, row.is_opened, row.who) == (event.pk, False, "Cannot be read")
    for page in ("console/audit", f"console/audit/{event.pk}", "console"):
        assert b"changed in the database" in admin.get(page).content


def statements(admin):
    admin.rows()  # what is kept in memory for seconds is there now
    with CaptureQueriesContext(
        connection,
    ) as captured:
        rows = admin.rows()
    return len(captured), rows


def test_the_number_of_statements_does_not_grow_with_the_trail(admin, mercy, tell):
    def people(number):
        with tenancy.bind(mercy):
            return [User.objects.create(email=f"p{n}@x.example", name=f"P {n}") for n in number]

    tell(mercy, *(read_by(user) for user in people(range(10))))
    few, _rows = statements(admin)
    tell(mercy, *(read_by(user) for user in people(range(10, 210))))
    many, rows = statements(admin)
    assert len({row.who for row in rows}) == len(rows) == 50
    assert few == many <= 6


@pytest.mark.spec("A8", "A14")
@pytest.mark.parametrize("page", ["console", "console/audit"])
def test_a_trail_that_cannot_be_read_is_said_to_be_damaged(admin, mercy, dr_ada, tell, page):
    tell(mercy, read_by(dr_ada, 1))
    with forging(mercy) as forger:
        forger.edit_to(1, *UNREADABLE)
    response = admin.get(page)
    assert response.status_code == 503
    assert "Stored records were changed or damaged" in response.content.decode()
    verdict = admin.get("console/audit/verification").content.decode()
    assert 'data-verdict="broken"' in verdict
    assert "Record 1 was changed." in verdict
