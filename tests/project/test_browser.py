"""The browser's fixtures notice what a page does wrong."""

import pytest
from playwright.sync_api import Page

from tests.browser import Console, axe

pytestmark = pytest.mark.browser

GOOD = '<html lang="en"><title>Chart</title><main><h1>Chart</h1><p>Glucose</p></main></html>'


def test_console_collects_errors_and_exceptions(page: Page, console: Console):
    page.evaluate("() => { console.error('broken link'); console.warn('only a hint'); }")
    page.evaluate(
        "() => new Promise(done => { setTimeout(() => { throw new Error('lost') });"
        " setTimeout(done, 1) })"
    )
    assert [text.split(" (")[0] for text in console.complaints] == ["broken link", "uncaught: lost"]
    console.expect("broken|lost")
    assert console.complaints == []


def test_console_collects_what_csp_blocks(page: Page, console: Console):
    page.set_content(
        "<meta http-equiv='Content-Security-Policy' content=\"script-src 'none'\">"
        "<script>document.title = 'ran'</script>"
    )
    assert page.title() != "ran"
    assert "Content Security Policy" in " ".join(console.complaints)
    console.expect("Content Security Policy")


def test_console_watches_pop_ups(page: Page, console: Console):
    with page.expect_popup() as opened:
        page.evaluate("() => { window.open('about:blank') }")
    opened.value.evaluate("() => console.error('from the pop-up')")
    assert "from the pop-up" in " ".join(console.complaints)
    console.expect("from the pop-up")


def test_axe_passes_a_good_page_and_names_a_bad_one(page: Page):
    page.set_content(GOOD)
    assert axe(page) == []
    page.set_content(GOOD.replace("<p>Glucose</p>", "<input><img src='data:,x'>"))
    assert {line.split(":")[0] for line in axe(page)} == {"image-alt", "label"}
