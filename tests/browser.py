"""Headless Chromium for the tests marked `browser`: fixtures `browser`, `console`, `page`; `axe`.

CHROMIUM names the program (`tests.services` sets it); Playwright brings only the driver.
"""

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

from tests.packages import find_chromium

SCREENSHOTS = Path("build/screenshots")
TIMEOUT_MS = 15_000
# No sandbox: root has none, and the browser opens our own pages only. The rest keeps it from
# calling its maker, and from a /dev/shm that containers make too small.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WCAG_22_AA = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
FAILED = pytest.StashKey[bool]()


class Console:
    """What the browser complained about: errors, uncaught exceptions, blocked by CSP."""

    def __init__(self) -> None:
        self._complaints: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def watch(self, page: Page) -> None:
        """Listen to a page; pop-ups are watched through the fixture's context."""
        page.on("console", self._on_message)
        page.on("pageerror", self._on_exception)

    def expect(self, pattern: str) -> None:
        """Let complaints that match the regular expression pass, such as `status of 403`."""
        self._expected.append(re.compile(pattern))

    @property
    def complaints(self) -> list[str]:
        """Complaints so far that no `expect` matches."""
        return [
            text
            for text in self._complaints
            if not any(pattern.search(text) for pattern in self._expected)
        ]

    def _on_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _on_exception(self, error: Error) -> None:
        self._complaints.append(f"uncaught: {error.message}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failed test, for its screenshot."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium per test file.

    Not per session: Playwright keeps an event loop running in this thread, which async tests of
    other files could not share and which makes Django refuse the database.
    """
    program = find_chromium()
    assert program is not None, "Chromium is missing: run the tests with `make test`"
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def console() -> Console:
    """The complaints of this test's pages; `console.expect(...)` those that belong to the test."""
    return Console()


@pytest.fixture
def page(browser: Browser, console: Console, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in a fresh profile. Complaints fail the test; a failed test leaves a screenshot."""
    context = browser.new_context(locale="en-US", timezone_id="UTC")
    context.set_default_timeout(TIMEOUT_MS)
    context.on("page", console.watch)
    page = context.new_page()
    try:
        yield page
        if request.node.stash.get(FAILED, False) or console.complaints:
            save_screenshots(context.pages, request.node.nodeid)
    finally:
        context.close()
    assert console.complaints == []


def save_screenshots(pages: list[Page], name: str) -> None:
    """Write a picture of every open page to build/screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", name)[-150:]
    for number, page in enumerate(pages, start=1):
        page.screenshot(path=SCREENSHOTS / f"{stem}-{number}.png", full_page=True)


def axe(page: Page) -> list[str]:
    """Violations of WCAG 2.2 A and AA that axe-core finds on the page: rule, help, elements."""
    options = {
        "resultTypes": ["violations"],
        "runOnly": {"type": "tag", "values": list(WCAG_22_AA)},
    }
    violations = Axe().run(page, options=options).response["violations"]
    return [
        f"{found['id']}: {found['help']} at {[node['target'] for node in found['nodes']]}"
        for found in violations
    ]
