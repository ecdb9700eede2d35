"""A person with a browser that runs no script: reads the pages' forms, fills them in, goes on."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

from tests.demo_server import Account

MAX_PAGES = 20


@dataclass
class Form:
    """One form of a page: where it goes, its fields as they stand, and its buttons."""

    action: str
    method: str = "get"
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def names(self) -> set[str]:
        """Names of its fields."""
        return {name for name, _ in self.fields}


class Forms(HTMLParser):
    """The forms of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep forms, inputs and buttons."""
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(said.get("action", ""), said.get("method", "get").lower()))
        elif self.found and tag == "input" and "name" in said:
            is_box = said.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in said:
                self.found[-1].fields.append((said["name"], said.get("value", "")))
        elif self.found and tag == "button":
            pair = (said.get("name", ""), said.get("value", ""))
            self.found[-1].buttons.append(pair)


@dataclass
class Person:
    """Somebody in front of a browser, with an account of the demo."""

    account: Account
    session: requests.Session = field(default_factory=requests.Session)
    seen: list[str] = field(default_factory=list)

    def go(self, url: str, until: str, *, decision: str = "allow") -> str:
        """Open a URL, sign in and decide where asked; the first URL that begins with `until`."""
        request = requests.Request("GET", url)
        for _ in range(MAX_PAGES):
            answer = self.session.send(self.session.prepare_request(request), allow_redirects=False)
            here = str(answer.url)
            self.seen.append(here)
            if answer.is_redirect:
                there = urljoin(here, answer.headers["Location"])
                if there.startswith(until):
                    return there
                request = requests.Request("GET", there)
                continue
            assert answer.status_code == 200, (here, answer.status_code, answer.text[:2000])
            request = self._fill_in(here, answer.text, decision)
        raise AssertionError(f"never came to {until}: {self.seen}")

    def _fill_in(self, here: str, page: str, decision: str) -> requests.Request:
        form = self._form(page, here)
        data = [pair for pair in form.fields if pair[0] not in ("email", "password", "code")]
        given = {
            "email": self.account.email,
            "password": self.account.password,
            "code": self.account.code() if "code" in form.names() else "",
        }
        data += [(name, given[name]) for name in given if name in form.names()]
        if ("decision", decision) in form.buttons:
            data.append(("decision", decision))
        headers = {"Origin": "/".join(here.split("/")[:3])}
        return requests.Request("POST", urljoin(here, form.action), data=data, headers=headers)

    def _form(self, page: str, here: str) -> Form:
        """The form that goes on from here."""
        forms = [form for form in Forms(page).found if form.method == "post"]
        wanted = [
            form
            for form in forms
            if form.names() & {"password", "code"}
            or any(name == "decision" for name, _ in form.buttons)
        ]
        assert wanted, f"nothing to fill in at {here}: {page[:2000]}"
        return wanted[0]
