"""Who is calling the token endpoint (CAUT-01 to CAUT-09, REGI-12, O12).

Public apps name themselves; apps with a secret send it by HTTP Basic, and no other way.
"""

import base64
import hmac
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

from django.db import transaction

from authfi.lib import tenancy
from authfi.lib.compiled import Query
from authfi.lib.ttl import Ttl
from smart.models import Application
from smart.models.handles import handle_digest
from smart.models.oauth import applications_changed
from smart.server.errors import InvalidClient, InvalidRequest

_CLIENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_CLAIM_LENGTH = 255
_BODY_CREDENTIALS = ("client_secret", "client_assertion", "client_assertion_type")
_active = Query(
    lambda client_id: Application.objects.filter(
        client_id=client_id, state=Application.State.ACTIVE
    ),
    client_id=str,
)
#: What other processes change is noticed within a second, like all that ends access (D3).
_known: Final[Ttl[tuple[UUID, str], Application]] = Ttl(1.0)


def authenticate(authorization: str, form: Mapping[str, str]) -> Application:
    """The app that sent this, proven in the one way it registered.

    `authorization` is the header, "" where there was none. Raises InvalidClient, InvalidRequest.
    """
    in_body = [name for name in _BODY_CREDENTIALS if name in form]
    if authorization and in_body:
        raise InvalidRequest("use one way of client authentication")
    if in_body:
        raise InvalidClient(f"{in_body[0]} is not supported, use HTTP Basic")
    if authorization:
        proven = _by_secret(authorization)
        if form.get("client_id", proven.client_id) != proven.client_id:
            raise InvalidRequest("client_id is not the authenticated client")
        return proven
    if "client_id" not in form:
        raise InvalidClient("client_id or client authentication is missing")
    application = find(form["client_id"])
    if application is None or not application.is_public:
        raise InvalidClient("the client is unknown or must authenticate")
    return application


def find(client_id: str) -> Application | None:
    """The bound tenant's active app of that id, as it was within the last second.

    It is shared with whoever asks besides: not to be changed.
    """
    if not _CLIENT_ID.fullmatch(client_id):
        return None
    key = tenancy.current().id, client_id
    if hit := _known.get_unless_due(key):
        return hit.value
    asked_at = time.monotonic()
    found = _active.first(client_id=client_id)
    return _known.put(key, found, asked_at) if found else None


def read_at(client_id: str) -> float:
    """The moment, on the monotonic clock, that what `find` gives is true of."""
    hit = _known.get((tenancy.current().id, client_id))
    return hit.at if hit else 0.0


def claimed(authorization: str, form: Mapping[str, str]) -> str:
    """The client id that a request names, proven or not; "" where it names none."""
    with suppress(InvalidClient):
        return _basic(authorization)[0]
    return form.get("client_id", "")


def introduced(authorization: str, form: Mapping[str, str]) -> tuple[str, Application | None, bool]:
    """The client id that a request names, the app of that id, and whether its secret is there."""
    secret = ""
    try:
        client_id, secret = _basic(authorization)
    except InvalidClient:
        client_id = form.get("client_id", "")
    application = find(client_id)
    return client_id, application, bool(secret) and _is_secret_of(application, secret)


def named(claimed_id: str) -> tuple[str, dict[str, str]]:
    """`client_id` and `details` of an event about a caller who is not proven.

    The trail's `client_id` is stored in clear, so it holds ids of apps of ours only; what else was
    claimed may be anything, a patient's name too, and is sealed with the details.
    """
    application = find(claimed_id)
    if application is not None:
        return application.client_id, {}
    return "", {"claimed_client_id": claimed_id[:_CLAIM_LENGTH]} if claimed_id else {}


def _by_secret(authorization: str) -> Application:
    client_id, secret = _basic(authorization)
    application = find(client_id)
    is_right = _is_secret_of(application, secret)  # whoever it is, as long
    if application is None or not is_right:
        raise InvalidClient("unknown client or wrong secret")
    return application


def _is_secret_of(application: Application | None, secret: str) -> bool:
    sent = handle_digest("client_secret", secret)
    known = application.secret_digest if application else ""
    return hmac.compare_digest(known.encode(), sent.encode())


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of an `Authorization` header (RFC 6749 2.3.1). Raises InvalidClient."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("only HTTP Basic is supported here")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except ValueError as error:
        raise InvalidClient("the Authorization header is malformed") from error
    client_id, _, secret = (unquote(part) for part in decoded.partition(":"))
    return client_id, secret


def _forget(sender: object, **_: Any) -> None:
    """At once for this transaction, and again when others can see the change."""
    _known.clear()
    transaction.on_commit(_known.clear)


applications_changed.connect(_forget)
