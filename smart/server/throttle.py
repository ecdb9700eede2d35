"""Limits at the machine endpoints and for refusals of strangers (V1, ERRS-06).

An app that proves itself is counted by itself, wherever it calls from, so that its neighbours
behind one address neither pay for it nor make it pay. Who only claims to be an app is counted by
that and the network address: others who claim its id elsewhere do not slow it down. Each refusal
leaves an audit event, so those of ids that no app has are counted by the address alone: nobody can
make the trail grow without bound. Over a limit there is one event a minute.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from authfi.lib import requestinfo
from smart.server import client_auth
from tenants import limits

_DIGEST_BYTES = 12


class Caller(NamedTuple):
    """By what the calls and by what the refusals of whoever sends a request are counted."""

    calls: str
    refusals: str


def caller(authorization: str, form: Mapping[str, str]) -> Caller:
    """Who asks, as far as it is known before the request is served."""
    claimed, application, is_proven = client_auth.introduced(authorization, form)
    if application is not None and is_proven:
        return _proven(application.client_id)
    network = limits.network_of(requestinfo.current().ip)
    if application is not None:
        key = f"{network} {application.client_id}"
        return Caller(key, key)
    # Whatever was claimed: its digest is short, and tells nobody what it was.
    claim = hashlib.blake2b(claimed.encode(errors="replace"), digest_size=_DIGEST_BYTES)
    return Caller(f"{network} unknown {claim.hexdigest()}", network)


def is_served_here(limit: str, client_id: str) -> bool:
    """Count one call of a proven app, if this process knows without asking that there is room."""
    app = _proven(client_id)
    is_refused = limits.waiting(limits.REFUSALS, app.refusals)
    return not is_refused and limits.take_leased(limit, app.calls) == 0


def seconds_to_wait(limit: str, asking: Caller) -> int:
    """0 where the request may be served, which counts as one call."""
    waiting = limits.waiting(limits.REFUSALS, asking.refusals)
    if waiting:
        limits.tell_once(limits.REFUSALS, asking.refusals)
        return waiting
    return limits.count(limit, asking.calls)


def count_refusal(asking: Caller) -> None:
    """Count one that was recorded."""
    limits.count(limits.REFUSALS, asking.refusals)


def _proven(client_id: str) -> Caller:
    key = f"app {client_id}"
    return Caller(key, key)
