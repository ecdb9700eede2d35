"""Ticking, opening and answering the page as a browser without JavaScript does it."""

import pytest

from consent import requests
from consent.models import Consent
from tests.consent.conftest import ALL_RECORDS, AWAY, CHANGE_ALLERGIES, VIEW_LABS, WHO, events_of
from tests.consent.test_views import text_of, url
from tests.forms import boxes_of, fields_of

WHOLE = ALL_RECORDS.scope
DEVICE = "patient/Device.rs"


@pytest.fixture
def asked(pat, ask):
    return ask(pat, items=[ALL_RECORDS, CHANGE_ALLERGIES, WHO, AWAY])


@pytest.fixture
def press(pat, mercy, asked):
    """Presses a button of a page, with its form as it stands, or as changed."""

    def pressed(page, **pressed):
        return pat.client.post(url(mercy, asked), {**fields_of(page), **pressed})

    return pressed


@pytest.fixture
def page(pat, mercy, asked):
    return pat.client.get(url(mercy, asked))


@pytest.mark.spec("C2", "GRNT-11")
def test_each_thing_has_a_box_and_private_ones_are_not_ticked(page):
    assert boxes_of(page) == {WHOLE: True, CHANGE_ALLERGIES.scope: False, "offline_access": True}


@pytest.mark.spec("C2")
def test_what_is_unticked_is_not_allowed(page, press):
    response = press(page, decision="allow", scope=[WHOLE])
    assert response.status_code == 303
    consent = Consent.objects.get()
    assert consent.scopes == f"{WHOLE} openid"
    [event] = events_of("consent.grant")
    assert event.details["scopes"] == [WHOLE, "openid"]
    assert event.details["left_out"] == {
        CHANGE_ALLERGIES.scope: "person",
        "offline_access": "person",
    }


@pytest.mark.spec("C2", "C4", "GRNT-04")
def test_a_wildcard_opens_into_its_types_on_the_same_question(page, press, asked):
    opened = press(page, open=WHOLE)
    assert opened.status_code == 200
    boxes = boxes_of(opened)
    assert WHOLE not in boxes
    assert boxes[DEVICE]
    assert not boxes["patient/FamilyMemberHistory.rs"]
    assert fields_of(opened)["opened"] == [WHOLE]
    assert fields_of(opened)["shown"] != fields_of(page)["shown"]
    assert press(opened, decision="allow", scope=[DEVICE]).status_code == 303
    assert Consent.objects.get().scopes == f"{DEVICE} openid"


@pytest.mark.spec("C4")
def test_an_answer_counts_for_the_page_as_it_was_opened(page, press):
    opened = press(page, open=WHOLE)
    mixed = press(page, decision="allow", opened=[WHOLE])
    assert mixed.status_code == 409
    assert press(opened, decision="allow", opened=[]).status_code == 409
    assert press(opened, decision="allow", opened=[WHOLE, "user/*.rs"]).status_code == 409
    assert not Consent.objects.exists()


def test_ticks_survive_opening_and_closing(page, press):
    opened = press(page, open=WHOLE, scope=[CHANGE_ALLERGIES.scope])
    assert boxes_of(opened)[CHANGE_ALLERGIES.scope]
    assert not boxes_of(opened)["offline_access"]
    assert not boxes_of(opened)[DEVICE]
    closed = press(opened, close=WHOLE)
    assert boxes_of(closed) == {
        WHOLE: False,
        CHANGE_ALLERGIES.scope: True,
        "offline_access": False,
    }


@pytest.mark.parametrize("unknown", ["user/*.rs", DEVICE + "x", "openid"])
def test_what_has_no_parts_does_not_open(page, press, unknown):
    assert press(page, open=unknown).status_code == 400
    assert not Consent.objects.exists()


@pytest.mark.spec("GRNT-07")
def test_allow_with_nothing_ticked_is_a_denial(page, press):
    assert press(page, decision="allow", scope=[]).status_code == 303
    consent = Consent.objects.get()
    assert (consent.decision, consent.state, consent.scopes) == ("deny", "inactive", "")
    [event] = events_of("consent.deny")
    assert set(event.details["left_out"].values()) == {"person"}
    again = press(page, decision="allow", scope=[])
    assert again.status_code == 303
    assert press(page, decision="allow").status_code == 409


@pytest.mark.spec("C3")
def test_a_public_apps_answer_is_not_remembered(page, press):
    assert "Do not ask me again" not in text_of(page)
    press(page, decision="allow", remember="on")
    assert Consent.objects.get().remember is False


@pytest.mark.spec("C3")
@pytest.mark.parametrize("ticked", [True, False])
def test_a_confidential_apps_answer_is_remembered_where_the_person_ticks_it(
    pat, mercy, ask, growth_chart, ticked
):
    growth_chart.client_type = "confidential"
    asked = ask(pat)
    page = pat.client.get(url(mercy, asked))
    assert boxes_of(page) == {VIEW_LABS.scope: True, "on": False}
    assert "Do not ask me again for a year" in text_of(page)
    form = {**fields_of(page), "decision": "allow"} | ({"remember": "on"} if ticked else {})
    assert pat.client.post(url(mercy, asked), form).status_code == 303
    assert Consent.objects.get().remember is ticked
    assert requests.items(asked)[0] == VIEW_LABS


@pytest.mark.spec("C3")
def test_a_denial_is_not_remembered(pat, mercy, ask, growth_chart):
    growth_chart.client_type = "confidential"
    asked = ask(pat)
    form = fields_of(pat.client.get(url(mercy, asked)))
    pat.client.post(url(mercy, asked), {**form, "decision": "deny", "remember": "on"})
    assert Consent.objects.get().remember is False


@pytest.mark.spec("D5")
def test_what_the_app_will_not_get_is_told_with_its_reason(pat, mercy, ask):
    withheld = [
        requests.Withheld("Delete your allergies", "hospital"),
        requests.Withheld("View your bills", "app"),
        requests.Withheld("Add orders", "role"),
        requests.Withheld("Use “patient/Transport.rs”", "unknown"),
        requests.Withheld("Know which visit is open", "nothing"),
    ]
    page = text_of(pat.client.get(url(mercy, ask(pat, withheld=withheld))))
    for words in (
        "What the app will not get",
        "Mercy does not allow Growth Chart to: Delete your allergies",
        "Your role at Mercy does not let Growth Chart: Add orders",
        "Growth Chart is not signed up here to: View your bills",
        "Mercy has no way for an app to: Use “patient/Transport.rs”",
        "There is nothing here to share for: Know which visit is open",
    ):
        assert words in page
    assert "will not get" not in text_of(pat.client.get(url(mercy, ask(pat))))


def test_an_unknown_reason_is_refused():
    with pytest.raises(ValueError, match="whim"):
        requests.Withheld("View your bills", "whim")


def test_enter_on_a_box_shows_the_page_as_it_is(page, press):
    again = press(page, again="", scope=[CHANGE_ALLERGIES.scope])
    assert again.status_code == 200
    assert [scope for scope, ticked in boxes_of(again).items() if ticked] == [
        CHANGE_ALLERGIES.scope
    ]
    assert not Consent.objects.exists()
