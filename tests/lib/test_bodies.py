"""Bodies of the Django lane are bounded before Django reads them (V3)."""

import asyncio

import pytest

from authfi.lib import bodies

pytestmark = pytest.mark.spec("V3")


class Reader:
    """An application that reads its request's body and keeps what it got."""

    def __init__(self):
        self.body = b""
        self.is_gone = False

    async def __call__(self, scope, receive, send):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                return
            self.body += message["body"]
            if not message.get("more_body"):
                return


def parts(*chunks):
    messages = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, start=1)
    ]

    async def receive():
        return messages.pop(0)

    return receive


async def ask(reader, receive, headers=()):
    sent = []

    async def send(message):
        sent.append(message)

    await bodies.bounded(reader)({"type": "http", "headers": list(headers)}, receive, send)
    return sent


async def test_a_form_passes_whole():
    reader = Reader()
    assert await ask(reader, parts(b"a=1", b"&b=2")) == []
    assert (reader.body, reader.is_gone) == (b"a=1&b=2", False)


async def test_a_body_that_says_it_is_too_long_is_refused_unread():
    reader = Reader()
    length = str(bodies.MAX_BYTES + 1).encode()
    sent = await ask(reader, parts(b"x"), [(b"content-length", length)])
    assert sent[0]["status"] == 413
    assert b"invalid_request" in sent[1]["body"]
    assert reader.body == b""


async def test_a_body_that_turns_out_too_long_is_cut_off():
    reader = Reader()
    half = b"x" * (bodies.MAX_BYTES // 2 + 1)
    await ask(reader, parts(half, half, half))
    assert reader.is_gone
    assert len(reader.body) <= bodies.MAX_BYTES


async def test_a_body_that_stalls_is_cut_off(monkeypatch):
    monkeypatch.setattr(bodies, "MAX_SECONDS", 0.05)
    reader = Reader()

    async def stall():
        await asyncio.sleep(60)

    async with asyncio.timeout(5):
        await ask(reader, stall)
    assert reader.is_gone
