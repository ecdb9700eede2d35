"""The console as its reader has it: calm on a phone, accessible, and red without a reload."""

import pytest
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from authfi.accounts import sessions
from authfi.console import verification
from tests.audit.conftest import forging
from tests.browser import axe
from tests.console.conftest import read_by, refusal

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server():
    """The pages and their static files."""
    server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.fixture
def console_page(server, page, admin, mercy, dr_ada, tell):
    """Mia's browser, signed in, with a few events to see."""
    name = sessions.cookie_name(mercy.slug)
    cookie = {"name": name, "value": admin.client.cookies[name].value, "url": server.url}
    page.context.add_cookies([cookie])
    tell(mercy, read_by(dr_ada, 1, patient="456"), refusal(dr_ada, 2, patient="790"))

    def go(path):
        page.goto(f"{server.url}{admin.base}/{path}")
        return page

    return go


@pytest.mark.spec("A8", "A9")
def test_the_verdict_turns_red_by_itself_and_is_announced(console_page, mercy, admin, monkeypatch):
    monkeypatch.setattr(verification, "MAX_AGE_SECONDS", 0)
    monkeypatch.setattr(verification, "REFRESH_SECONDS", 1)
    page = console_page("console/audit")
    expect(page.locator("[data-verdict]")).to_have_attribute("data-verdict", "intact")
    seq = admin.rows()[0].event.seq
    with forging(mercy) as forger:
        forger.edit(seq, "outcome", "success")
    expect(page.locator("[data-verdict]")).to_have_attribute("data-verdict", "broken")
    expect(page.get_by_text(f"Record {seq} was changed.").first).to_be_visible()
    expect(page.locator("[aria-live=polite]")).to_contain_text(f"Record {seq} was changed.")
    assert axe(page) == []


def test_a_verdict_that_cannot_be_confirmed_does_not_stay_green(
    console_page, console, mercy, admin, monkeypatch
):
    monkeypatch.setattr(verification, "REFRESH_SECONDS", 1)
    console.expect("Failed to load resource|Failed to fetch")
    page = console_page("console")
    expect(page.locator("[data-verdict=intact]")).to_be_visible()
    page.route("**/console/audit/verification", lambda route: route.abort())
    expect(page.locator("[data-stale]")).to_be_visible()
    expect(page.locator("[data-verdict]")).to_be_hidden()
    page.unroute("**/console/audit/verification")
    expect(page.locator("[data-verdict=intact]")).to_be_visible()
    expect(page.locator("[data-stale]")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_are_accessible_and_fit_their_width(console_page, console, width, scheme):
    console.expect("status of 400")
    page = console_page("console")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("console", "console/audit", "console/audit?person=nobody", "details"):
        if path == "details":
            console_page("console/audit")
            page.get_by_role("link", name="was refused a record").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("was refused a record")
        else:
            console_page(path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_search_works_from_the_keyboard(console_page):
    page = console_page("console/audit")
    page.get_by_label("Patient", exact=True).fill("790")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("row", name="was refused a record")).to_contain_text("Refused")
    page.get_by_role("link", name="Show everything").click()
    expect(page.get_by_role("link", name="read a record")).to_be_visible()
