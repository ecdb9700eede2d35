"""The pickers in a browser: small and large, light and dark, by keyboard, judged by axe (C10)."""

import re
from urllib.parse import parse_qs

import pytest
from django.db import connections
from playwright.sync_api import Page, Route

from authfi.lib import tenancy
from smart.models import AuthorizationRequest
from tests.access.conftest import hospital, sandbox
from tests.browser import axe
from tests.server.picking import VISIT_SCOPE, a_flow

__all__ = ["hospital", "sandbox"]

pytestmark = pytest.mark.browser

ORIGIN = "http://localhost"  # browsers trust it as they trust https
SIZES = [(320, 640), (1280, 900)]
PAGES = ["patient", "encounter"]


@pytest.fixture
def flow(page: Page, hospital):
    """A nurse at the picker, served to Chromium by Django's own test client."""
    made = a_flow(hospital, "nurse")

    def serve(route: Route) -> None:
        try:
            fulfil(route)
        finally:
            connections.close_all()  # Playwright calls in a context with connections of its own

    def fulfil(route: Route) -> None:
        request = route.request
        path = request.url.removeprefix(ORIGIN)
        if request.method == "POST":
            form = parse_qs(request.post_data or "", keep_blank_values=True)
            response = made.client.post(path, {name: values[0] for name, values in form.items()})
            if response.status_code == 303:
                # Redirects cannot be fulfilled; a page that goes on does the same.
                onward = f'<meta http-equiv="refresh" content="0;url={response["Location"]}">'
                is_search = "search" in form
                body = onward if is_search else "<title>Chosen</title>"
                route.fulfill(body=body, content_type="text/html")
                return
        else:
            response = made.client.get(path)
        body = response.getvalue()
        route.fulfill(status=response.status_code, headers=dict(response.items()), body=body)

    page.route(re.compile(".*"), serve)
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
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
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
    page.wait_for_function("document.title === 'Chosen'")
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
    page.wait_for_function("document.title === 'Chosen'")
    assert kept(flow, going_on) == ("456", "enc-456-1")
