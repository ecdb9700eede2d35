"""The page in a browser: small and large, light and dark, by keyboard, judged by axe (C10)."""

import pytest
from playwright.sync_api import Page

from consent import requests
from consent.models import Consent
from tests.browser import axe
from tests.consent.conftest import ALL_RECORDS, AWAY, CHANGE_ALLERGIES, VIEW_LABS, WHO
from tests.pages import ORIGIN, SIZES, is_not_cut_off, serve, wait_until_gone_on

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(page: Page, pat, ask, mercy):
    """The consent page, served to Chromium by Django's own test client."""

    serve(page, pat.client, within="/consent/")
    items = [VIEW_LABS, ALL_RECORDS, CHANGE_ALLERGIES, WHO, AWAY]
    withheld = [requests.Withheld("View your bills", "hospital")]
    asked = ask(pat, items=items, patient_name="Jane Doe", withheld=withheld)
    page.goto(f"{ORIGIN}/t/{mercy.slug}/consent/{asked.pk}")
    return page


def open_all(page: Page) -> None:
    """Open the wildcard, and the type in it that has categories."""
    page.get_by_role("button", name=f"Choose one by one {ALL_RECORDS.short}").click()
    page.get_by_role("button", name="Choose one by one View patient/Observation.rs").click()
    page.get_by_role("group", name="View patient/Observation.rs").wait_for()


@pytest.mark.spec("C10")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_axe_finds_nothing(opened, width, height, colours):
    opened.set_viewport_size({"width": width, "height": height})
    opened.emulate_media(color_scheme=colours, reduced_motion="reduce")
    assert axe(opened) == []
    open_all(opened)
    assert axe(opened) == []
    assert is_not_cut_off(opened)


@pytest.mark.spec("C10")
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_cut_off(opened, width, height):
    opened.set_viewport_size({"width": width, "height": height})
    assert is_not_cut_off(opened)
    styles = opened.evaluate("getComputedStyle(document.querySelector('.button')).minHeight")
    assert styles != "auto"  # the style sheets arrived


@pytest.mark.spec("C1", "C10")
@pytest.mark.parametrize("width", [320, 1280])
def test_deny_and_allow_weigh_the_same(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    deny, allow = (
        opened.get_by_role("button", name=name, exact=True) for name in ("Deny", "Allow")
    )
    boxes = deny.bounding_box(), allow.bounding_box()
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
    assert boxes[0]["height"] == boxes[1]["height"] >= 44
    look = "e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.font]; }"
    assert deny.evaluate(look) == allow.evaluate(look)


@pytest.mark.spec("C10")
@pytest.mark.parametrize("decision", ["deny", "allow"])
def test_keyboard_alone_ticks_opens_and_answers(opened, decision):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to content"
    opened.keyboard.press("Enter")
    tab_to(opened, VIEW_LABS.scope)
    opened.keyboard.press("Space")
    with opened.expect_navigation():  # Enter on a box answers nothing
        opened.keyboard.press("Enter")
    assert not opened.locator(f'[value="{VIEW_LABS.scope}"]').is_checked()
    tab_to(opened, ALL_RECORDS.scope)
    tab_to(opened, ALL_RECORDS.scope, name="open")
    opened.keyboard.press("Enter")
    opened.get_by_role("group", name=ALL_RECORDS.short).wait_for()
    tab_to(opened, decision)
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.keyboard.press("Enter")
    wait_until_gone_on(opened)
    consent = Consent.objects.get()
    assert consent.decision == decision
    if decision == "allow":
        assert VIEW_LABS.scope not in consent.scopes
        assert "patient/Device.rs" in consent.scopes


def tab_to(page: Page, value: str, name: str = "") -> None:
    """Press Tab until the control of that value has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate("[document.activeElement.value, document.activeElement.name]")
        if found[0] == value and name in ("", found[1]):
            return
    raise AssertionError(f"{value} cannot be reached by keyboard")


@pytest.mark.spec("C10")
def test_a_screen_reader_hears_the_parts_in_order(opened):
    headings = opened.get_by_role("heading").all_inner_texts()
    assert headings[0] == "Let Growth Chart use your medical records?"
    assert headings[1] == "Growth Chart wants to:"
    assert opened.locator("h1").count() == 1
    assert opened.locator("html").get_attribute("lang") == "en"
    for landmark in ("banner", "main", "contentinfo"):
        assert opened.get_by_role(landmark).count() == 1
