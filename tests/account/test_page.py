"""The account pages in a browser: small and large, light and dark, judged by axe (C10)."""

import pytest
from playwright.sync_api import Page

from tests.account.conftest import Allowed
from tests.browser import axe
from tests.pages import ORIGIN, SIZES, is_not_cut_off, serve

pytestmark = pytest.mark.browser


@pytest.fixture
def browse(page: Page, pats: Allowed):
    """Opens a page of Pat's, served to Chromium by Django's own test client."""

    serve(page, pats.client, within="/account")

    def opened(path: str = "") -> Page:
        page.goto(f"{ORIGIN}{pats.path}{path}")
        return page

    return opened


def pages(pats: Allowed) -> list[str]:
    return ["", f"/apps/{pats.consent.pk}/end", f"/apps/{pats.consent.pk}/change"]


@pytest.mark.spec("C10", "REVO-05")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_axe_finds_nothing_and_nothing_is_cut_off(browse, pats, width, height, colours):
    for path in pages(pats):
        page = browse(path)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")
        assert axe(page) == []
        assert is_not_cut_off(page)
        assert page.locator("h1").count() == 1


@pytest.mark.spec("REVO-04", "REVO-05")
def test_an_app_is_stopped_by_two_clicks(browse):
    page = browse()
    page.get_by_role("link", name="Stop access Growth Chart").click()
    assert "/end" in page.url
    page.get_by_role("button", name="Stop access").click()
    page.get_by_role("heading", name="No app has access now").wait_for()
    assert "must ask you" in page.get_by_role("status").inner_text()
    assert axe(page) == []


@pytest.mark.spec("REVO-05", "GRNT-04")
def test_an_app_is_let_see_less(browse):
    page = browse()
    page.get_by_role("link", name="Change what it may see Growth Chart").click()
    page.get_by_role("button", name="Choose one by one View all your health records").click()
    page.get_by_label("View your allergies").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Your apps").wait_for()
    assert page.get_by_role("status").inner_text().startswith("Saved.")
    assert axe(page) == []
    told = page.get_by_role("article").inner_text()
    assert "View your care plans" in told
    assert "View your allergies" not in told
    assert "all your health records" not in told
    page.reload()
    assert page.get_by_role("status").count() == 0, "it is told once"
