"""What a browser would send of a page's form."""

from collections import defaultdict
from html.parser import HTMLParser
from typing import Any


class _Fields(HTMLParser):
    """The inputs below <main>, as they are filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.is_main = False
        self.found: dict[str, list[str]] = defaultdict(list)
        self.boxes: dict[str, bool] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.is_main = self.is_main or tag == "main"
        if tag != "input" or not self.is_main:
            return
        is_box = facts.get("type") == "checkbox"
        if is_box:
            self.boxes[facts.get("value") or "on"] = "checked" in facts
        if not is_box or "checked" in facts:
            self.found[facts.get("name") or ""].append(facts.get("value") or "on")


def _read(response: Any) -> _Fields:
    parser = _Fields()
    parser.feed(response.content.decode())
    return parser


def fields_of(response: Any) -> dict[str, list[str]]:
    """Hidden inputs and ticked boxes by their names; buttons are the caller's to press."""
    return dict(_read(response).found)


def boxes_of(response: Any) -> dict[str, bool]:
    """The boxes of the page by their values: are they ticked?"""
    return _read(response).boxes
