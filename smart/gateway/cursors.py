"""Paging links that show nothing of the server behind and open for nobody else (G34, RSVR-10, C7).

A cursor is what the search was and where its next page is, sealed under a key of the tenant and
bound to app, user, patient and scopes of the token it was given to. At every page the search is
decided upon anew; a token whose grant has ended never comes this far.
"""

import base64
import binascii
import hashlib
import time
import zlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit
from uuid import UUID

import msgspec

from authfi.crypto import envelope, keyring
from authfi.crypto.envelope import SealBrokenError
from authfi.lib import database
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from smart.gateway.fhir_request import PAGE
from smart.gateway.outcomes import UpstreamFault
from smart.policy.references import bases_of
from smart.scopes.syntax import format_scopes
from smart.tokens import AccessToken

LIFE_SECONDS: Final = 600
#: A longer cursor would not fit into a URL that this server takes (V3).
MAX_LENGTH: Final = 6000

_KEY_NUMBER: Final = 1
_PLACE: Final = ("smart_gateway", "cursor")

_keys: Ttl[UUID, bytes] = Ttl(300.0)


class NoSuchPageError(LookupError):
    """The cursor is not one for this token, or its time is over. Which of them is not told."""


@dataclass(frozen=True, slots=True)
class Onward:
    """Where the server behind has the next page: path below its base (no slash) and query."""

    path: str
    query: str


class _Cursor(msgspec.Struct, array_like=True):
    """`search` and `query` are path and query of the search as it was decided upon."""

    expires_at: int
    search: str
    query: str
    path: str
    onward: str


@dataclass(frozen=True, slots=True)
class Page:
    """What an opened cursor leads to: the search, as path and query, and its next page."""

    search: str
    query: str
    onward: Onward


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals the pages of one search for one token."""

    key: bytes
    binding: bytes
    public_base: str
    upstream_base: str
    search: str
    query: str
    now: int

    def seal(self, next_url: str) -> str | None:
        """The link to the page that the upstream's `next` names; None where it gets too long.

        Raises UpstreamFault for a link to anywhere but below the upstream's own base.
        """
        onward = below(next_url, self.upstream_base)
        cursor = _Cursor(
            self.now + LIFE_SECONDS, self.search, self.query, onward.path, onward.query
        )
        packed = zlib.compress(msgspec.msgpack.encode(cursor))
        sealed = envelope.seal(self.key, _KEY_NUMBER, packed, self.binding)
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        if len(text) > MAX_LENGTH:
            return None
        return f"{self.public_base}?{PAGE}={text}"


def open_page(text: str, key: bytes, binding: bytes, now: int) -> Page:
    """What a cursor leads to. Raises NoSuchPageError."""
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
        packed = envelope.open_sealed(key, sealed, binding)
        cursor = msgspec.msgpack.decode(zlib.decompress(packed), type=_Cursor)
    except (binascii.Error, SealBrokenError, zlib.error, msgspec.MsgspecError) as error:
        raise NoSuchPageError from error
    if cursor.expires_at <= now:
        raise NoSuchPageError
    return Page(cursor.search, cursor.query, Onward(cursor.path, cursor.onward))


def binding_of(token: AccessToken, base: str) -> bytes:
    """What a cursor is bound to: tenant, base, app, user, patient and scopes of a token."""
    parts = (
        base,
        token.client_id,
        token.subject,
        token.fhir_user or "",
        token.patient or "",
        token.encounter or "",
        format_scopes(token.scopes),
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return envelope.place(token.tenant.id, *_PLACE, digest)


async def key_of(tenant: TenantRef) -> bytes:
    """The tenant's key for cursors: from memory, else with one thread hop."""
    if hit := _keys.get(tenant.id):
        return hit.value
    asked_at = time.monotonic()
    key = bytes.fromhex(await database.run(tenant, keyring.digest, "smart.gateway.cursor", "1"))
    return _keys.put(tenant.id, key, asked_at)


def below(url: str, base: str) -> Onward:
    """Path and query of a URL of the server with that base. Raises UpstreamFault."""
    try:
        whole = urlsplit(urljoin(base + "/", url))
        home = urlsplit(base)
        is_there = bases_of(f"{whole.scheme}://{whole.netloc}") == bases_of(
            f"{home.scheme}://{home.netloc}"
        )
    except ValueError:
        raise UpstreamFault("the next page has no proper address") from None
    path, found = home.path.rstrip("/"), whole.path
    segments = found.split("/")
    is_plain = not whole.fragment and "%" not in found and not {".", ".."} & set(segments)
    if not is_there or not is_plain or not (found == path or found.startswith(path + "/")):
        raise UpstreamFault("the next page is not below the upstream's base")
    return Onward(found[len(path) :].strip("/"), whole.query)
