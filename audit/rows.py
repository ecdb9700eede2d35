"""An event as it is chained and stored: its columns, and the leaf that covers them (A5).

A leaf is the SHA-256 of the RFC 8785 JSON of every stored column except the chain's own.
"""

import os
from binascii import b2a_base64
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import orjson


class Row(NamedTuple):
    """An event ready to be chained: sealed, and its leaf computed.

    `id` is a UUID's 16 bytes, `at` the milliseconds since 1970.
    """

    tenant_id: UUID
    id: bytes
    at: int
    code: str
    outcome: str
    actor_index: str
    patient_index: str
    client_id: str
    request_id: str
    details: bytes
    leaf: bytes


def new_id(at: int) -> bytes:
    """A UUID of version 7 (RFC 9562 5.7) for an event of that time in milliseconds.

    It tells the event's time, so that the index of times finds the event too.
    """
    random = os.urandom(10)
    marks = bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F))
    return at.to_bytes(6, "big") + marks + random[3:]


def id_text(event_id: bytes) -> str:
    """A UUID's usual spelling."""
    text = event_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


tenant_text = lru_cache(maxsize=4096)(str)


def time_text(at: int) -> str:
    """RFC 3339, in UTC, of milliseconds since 1970."""
    return f"{_second(at // 1000)}.{at % 1000:03}Z"


def sqlite_time(at: int) -> str:
    """The same moment as Django writes and looks for it in SQLite: a whole second without parts."""
    parts = f".{at % 1000:03}000" if at % 1000 else ""
    return f"{_second(at // 1000).replace('T', ' ')}{parts}"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def leaf_digest(
    at: str,
    tenant_id: str,
    actor_index: str,
    client_id: str,
    code: str,
    details: bytes,
    event_id: str,
    outcome: str,
    patient_index: str,
    request_id: str,
) -> bytes:
    """SHA-256 of the event's RFC 8785 form: all members are strings, and names are in order."""
    return sha256(
        orjson.dumps(
            {
                "actor_index": actor_index,
                "at": at,
                "client_id": client_id,
                "code": code,
                "details": b2a_base64(details, newline=False).decode(),
                "id": event_id,
                "outcome": outcome,
                "patient_index": patient_index,
                "request_id": request_id,
                "tenant_id": tenant_id,
            }
        )
    ).digest()
