"""Pages served to Chromium by Django's own test client, so that a test shares their database."""

import re
from typing import Any
from urllib.parse import parse_qs

from django.db import connections
from django.test import Client
from playwright.sync_api import Page, Request, Route, expect

#: Browsers trust it as they trust https.
ORIGIN = "http://localhost"
#: Of the window, in CSS pixels: the narrowest that WCAG 1.4.10 asks for, and a desk.
SIZES = [(320, 640), (1280, 900)]


def serve(page: Page, client: Client, *, within: str) -> None:
    """Answer the page's requests by the test client, which keeps the cookies.

    Redirects cannot be fulfilled, so a page that goes on stands for each; of those that lead to
    an address without `within`, a page called "Gone on" is the end.
    """

    def answer(route: Route) -> None:
        try:
            _fulfil(route, _ask(client, route.request), within)
        finally:
            connections.close_all()  # Playwright calls in a context with connections of its own

    page.route(re.compile(".*"), answer)


def _ask(client: Client, request: Request) -> Any:
    path = request.url.removeprefix(ORIGIN)
    if request.method != "POST":
        return client.get(path)
    return client.post(path, parse_qs(request.post_data or "", keep_blank_values=True))


def _fulfil(route: Route, response: Any, within: str) -> None:
    onward = response.headers.get("Location")
    if onward is None:
        body, headers = response.getvalue(), dict(response.items())
        route.fulfill(status=response.status_code, headers=headers, body=body)
        return
    going_on = f'<meta http-equiv="refresh" content="0;url={onward}">'
    body = going_on if within in onward else "<title>Gone on</title>"
    route.fulfill(body=body, content_type="text/html")


def wait_until_gone_on(page: Page) -> None:
    """The page's answer led away from it."""
    expect(page).to_have_title("Gone on")


def is_not_cut_off(page: Page) -> bool:
    """Does the page fit its window, so that nobody scrolls sideways (WCAG 1.4.10)?"""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
