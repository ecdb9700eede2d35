"""What both servers are asked at their token endpoints."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import aiohttp

from tests.bench.load import Ask

CLIENT_ID = "bench"
#: As the TLS edge in front of a server sends it on.
FORWARDED = {"Host": "bench.example", "X-Forwarded-Proto": "https"}
REDIRECT_URI = "https://app.example/callback"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


def exchange(url: str, secret: str, codes: Iterator[str], tokens: list[str]) -> Ask:
    """A code for an access token and an ID token; refresh tokens that come along go to `tokens`."""

    async def ask(session: aiohttp.ClientSession) -> None:
        form = {
            "grant_type": "authorization_code",
            "code": next(codes),
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        }
        answer = await _post(session, url, secret, form)
        assert answer["id_token"], answer
        if "refresh_token" in answer:
            tokens.append(answer["refresh_token"])

    return ask


def refresh(url: str, secret: str, codes: Iterator[str], tokens: list[str]) -> Ask:
    """A refresh token for the next one, and a new access token.

    Where no exchange has left any, codes are exchanged first: in the round that warms up.
    """
    first = exchange(url, secret, codes, tokens)

    async def ask(session: aiohttp.ClientSession) -> None:
        if not tokens:
            await first(session)
        form = {"grant_type": "refresh_token", "refresh_token": tokens.pop(0)}
        answer = await _post(session, url, secret, form)
        tokens.append(answer["refresh_token"])

    return ask


def introspect(url: str, secret: str, token: str) -> Ask:
    """Whether a token is active, asked by an app with a secret."""

    async def ask(session: aiohttp.ClientSession) -> None:
        answer = await _post(session, url, secret, {"token": token})
        assert answer["active"] is True, answer

    return ask


def get(url: str, token: str = "", longer_than: int = 0) -> Ask:
    """A document or a record."""
    headers = FORWARDED | ({"Authorization": f"Bearer {token}"} if token else {})

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get(url, headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
            assert answer.status == 200, (url, answer.status, body)
            assert len(body) >= longer_than, body

    return ask


async def _post(
    session: aiohttp.ClientSession, url: str, secret: str, form: dict[str, str]
) -> dict[str, Any]:
    auth = aiohttp.BasicAuth(CLIENT_ID, secret)
    async with session.post(
        url, data=form, auth=auth, headers=FORWARDED, allow_redirects=False
    ) as answer:
        body = await answer.read()
        assert answer.status == 200, (url, answer.status, body)
        return dict(await answer.json(content_type=None))
