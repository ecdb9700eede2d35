"""Who tries another hospital's ids, how a request is sent, what of two answers must be equal."""

import asyncio
import itertools
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, urlencode
from uuid import uuid4

from django.test import Client

from authfi.accounts import sessions
from authfi.lib import outbound
from tests.gateway import asgi
from tests.gateway.asgi import Reply
from tests.server.confidential import basic
from tests.tenants.houses import House
from tests.tenants.routes import API, Attempt

NOBODY = "nobody"

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What differs between two answers to one request: nonces, CSRF tokens, ids of requests and rows.
_CHANCE = (
    (re.compile(rb"nonce-[\w+/=-]+"), b"nonce-"),
    (re.compile(rb'nonce="[^"]*"'), b"nonce"),
    (re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"'), b"csrf"),
    (_UUID, b"<uuid>"),
)
_CHANGING_HEADERS = frozenset({"x-request-id", "set-cookie", "expires"})


@dataclass(frozen=True)
class Caller:
    """Somebody who sends requests: cookies by tenant, a CSRF token of their own, a bearer."""

    name: str
    cookies: tuple[str, ...] = ()
    csrf: str = ""
    bearer: str = ""

    @property
    def session(self) -> str:
        """The value of the session's cookie, or ""."""
        return self.cookies[0].partition("=")[2] if self.cookies else ""

    def headers(self) -> dict[str, str]:
        """What each of their requests carries."""
        found = {"Host": "localhost:8000"}
        if self.cookies:
            found["Cookie"] = "; ".join(self.cookies)
        if self.csrf:
            found["X-CSRFToken"] = self.csrf
        if self.bearer:
            found["Authorization"] = f"Bearer {self.bearer}"
        return found


def in_browser(name: str, house: House, client: Client) -> Caller:
    """The person of a test client, with their session's CSRF token."""
    page = client.get(f"/t/{house.tenant.slug}/{'login' if name == NOBODY else 'account'}")
    (csrf,) = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode()))
    cookie = sessions.cookie_name(house.tenant.slug)
    return Caller(name, (f"{cookie}={client.cookies[cookie].value}",), csrf)


def callers_of(house: House) -> dict[str, Caller]:
    """Nobody, a person of each kind, an app for all patients, an API client."""
    doctor = house.flows["doctor"]
    handle = doctor.launch(house.ada, house.app, patient=house.patient, encounter=None)
    issued = doctor.exchange(doctor.code(scope="launch openid fhirUser user/*.rs", launch=handle))
    callers = [
        in_browser(NOBODY, house, Client()),
        *(in_browser(name, house, flow.client) for name, flow in house.flows.items()),
        Caller("app", bearer=issued.json()["access_token"]),
        Caller("API client", bearer=house.api_token),
    ]
    return {caller.name: caller for caller in callers}


def absent(ids: Mapping[str, str]) -> dict[str, str]:
    """For each id one of the same form that nobody has."""
    made = {kind: _like(value) for kind, value in ids.items()}
    if "basic" in made:
        made |= {"basic": basic(made["secret_app"], made["secret"])["Authorization"]}
    return made


def is_uuid(value: str) -> bool:
    """Whether an id is spelled as one."""
    return _UUID.fullmatch(value.encode()) is not None


def _like(value: str) -> str:
    if is_uuid(value):
        return str(uuid4())
    if value.count(".") == 2 and value.startswith("ey"):  # a JWT: the same with another signature
        signed, _, signature = value.rpartition(".")
        return f"{signed}.{secrets.token_urlsafe(len(signature))[: len(signature)]}"
    name, at, host = value.partition("@")
    return re.sub(r"[A-Za-z0-9]", lambda _: secrets.choice("abcdefgh"), name) + at + host


def filled(text: str, ids: Mapping[str, str]) -> str:
    """The text with an id in place of each kind in braces."""
    for kind, value in ids.items():
        text = text.replace(f"{{{kind}}}", value)
    return text


async def send(caller: Caller, attempt: Attempt, ids: Mapping[str, str]) -> Reply:
    """One request through the front door, with these ids in their places."""
    path, _, query = filled(attempt.path, ids).partition("?")
    fields = {name: filled(text, ids) for name, text in attempt.fields.items()}
    headers = caller.headers()
    if "Authorization" in fields:
        headers["Authorization"] = fields.pop("Authorization")
    body = ""
    if attempt.body:
        headers["Content-Type"], body = "application/fhir+json", filled(attempt.body, ids)
    elif attempt.method == "GET":
        query = query or urlencode(fields)
    elif path.startswith(f"/{API}"):
        headers["Content-Type"], body = "application/json", json.dumps(fields)
    else:
        headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(fields)
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw_path = quote(path, safe="/$").encode()
    return await asgi.call(attempt.method, raw_path, query.encode(), sent, body.encode())


def comparable(reply: Reply, ids: Mapping[str, str]) -> tuple[object, ...]:
    """Status, names and values of headers, body: without what chance makes and what was sent."""
    names = sorted(name.lower() for name, _ in reply.raw_headers)
    values = {n: v for n, v in reply.headers.items() if n not in _CHANGING_HEADERS}
    headers = {n: _plain(v.encode(), ids) for n, v in values.items()}
    body = reply.body.replace(reply.headers["x-request-id"].encode(), b"<request>")
    return reply.status, names, headers, _plain(body, ids)


def difference(one: tuple[object, ...], other: tuple[object, ...]) -> str:
    """Where two answers begin to differ; "" when they are equal."""
    if one == other:
        return ""
    texts = repr(one), repr(other)
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))
    at = max(0, sum(1 for _ in equal) - 80)
    return " | ".join(text[at : at + 200] for text in texts)


def without(text: bytes, ids: Iterable[str]) -> bytes:
    """The text with each id taken out, however it is spelled in a URL."""
    for value in sorted(ids, key=len, reverse=True):
        once, form = quote(value), quote_plus(value)
        for spelled in {value, once, form, quote(value, safe=""), quote(once), quote(form)}:
            text = text.replace(spelled.encode(), b"<id>")
    return text


def _plain(text: bytes, ids: Mapping[str, str]) -> bytes:
    text = without(text, ids.values())
    for pattern, instead in _CHANCE:
        text = pattern.sub(instead, text)
    return text


class Door:
    """The front door with a loop of its own."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def ask(self, caller: Caller, attempt: Attempt, ids: Mapping[str, str]) -> Reply:
        """The answer to one request."""
        return self.runner.run(send(caller, attempt, ids))

    def close(self) -> None:
        """Leave no connection open."""
        self.runner.run(outbound.close())
        self.runner.close()
