"""The pickers in a browser: small and large, light and dark, by keyboard, judged by axe (C10)."""

import re

import pytest
from playwright.sync_api import Page

from authfi.lib import tenancy
from smart.models import AuthorizationRequest
from tests.access.conftest import hospital, sandbox
from tests.browser import axe
from tests.pages import ORIGIN, SIZES, is_not_cut_off, serve, wait_until_gone_on
from tests.server.picking import VISIT_SCOPE, a_flow

__all__ = ["hospital", "sandbox"]

pytestmark = pytest.mark.browser

PAGES = ["patient", "encounter"]


@pytest.fixture
def flow(page: Page, hospital):
    """A nurse at the picker, served to Chromium by Django's own test client."""
    made = a_flow(hospital, "nurse")

    serve(page, made.client, within="?page=")
    return made


@pytest.fixture
def opened(page, flow):
    """Open one of the two pages; gives the browser's page and the request's address."""

    def open_page(name: str):
        going_on = flow.begin(scope=VISIT_SCOPE)
        if name == "encounter":
            flow.choose(f"{going_on}/patient", patient="456")
        page.goto(f"{ORIGIN}{going_on}/{name}")
        return page, going_on

    return open_page


def kept(flow, going_on):
    with tenancy.bind(flow.tenant):
        row = AuthorizationRequest.objects.get(pk=going_on.rpartition("/")[2])
        return row.patient, row.encounter


@pytest.mark.spec("C10")
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_axe_finds_nothing_and_nothing_is_cut_off(opened, name, width, height, colours):
    page, _ = opened(name)
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=colours, reduced_motion="reduce")
    assert axe(page) == []
    assert is_not_cut_off(page)
    sizes = page.evaluate(
        "[...document.querySelectorAll('main .button')].map(e => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 24  # WCAG 2.2, 2.5.8


@pytest.mark.spec("C10")
@pytest.mark.parametrize("typed", ["nobody-of-that-name", "x" * 101])
def test_axe_finds_nothing_where_nobody_is_found(opened, typed):
    page, _ = opened("patient")
    name = page.get_by_label("Name")
    name.evaluate("field => field.removeAttribute('maxlength')")
    name.fill(typed)
    page.get_by_role("button", name="Search").click()
    page.locator(".empty, .errorlist").first.wait_for()
    assert axe(page) == []


@pytest.mark.spec("C10", "STND-02")
def test_keyboard_alone_searches_and_chooses(opened, flow):
    page, going_on = opened("patient")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to content
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "name"
    page.keyboard.type("jane doe")
    page.keyboard.press("Enter")
    page.wait_for_url("**page=*")
    assert "jane" not in page.url.casefold()
    page.get_by_role("button", name="Choose Jane Doe").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    wait_until_gone_on(page)
    assert kept(flow, going_on) == ("790", None)


@pytest.mark.spec("C10", "STND-02")
def test_enter_in_a_field_never_chooses(opened, flow):
    page, going_on = opened("patient")
    page.get_by_label("Record number (MRN)").press("Enter")
    page.wait_for_url("**page=*")
    assert kept(flow, going_on) == (None, None)


@pytest.mark.spec("C10", "STND-04")
def test_a_screen_reader_hears_whose_visit_it_is(opened, flow):
    page, going_on = opened("encounter")
    assert page.get_by_role("heading").all_inner_texts()[0] == "Choose a visit"
    assert page.get_by_role("region", name="Patient").inner_text().startswith("Margaret Ellis")
    first = page.get_by_role("button", name=re.compile("^Choose ")).first
    assert re.search(
        r"\d{4}",
        first.evaluate(
            "e => document.getElementById(e.getAttribute('aria-describedby')).textContent"
        ),
    )
    first.click()
    wait_until_gone_on(page)
    assert kept(flow, going_on) == ("456", "enc-456-1")
