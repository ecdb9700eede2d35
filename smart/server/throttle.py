"""Limits at the machine endpoints and for refusals of strangers (V1, ERRS-06).

Each refusal leaves an audit event, so they are limited by network address, whoever is claimed to
ask: nobody can make the trail grow without bound. Over a limit there is one event a minute.
"""

from collections.abc import Mapping

from authfi.lib import requestinfo
from smart.server import client_auth
from tenants import limits


def is_served_here(limit: str, client_id: str) -> bool:
    """Count one call of a proven app, if this process knows without asking that there is room."""
    network = limits.network_of(requestinfo.current().ip)
    is_refused = limits.waiting(limits.REFUSALS, network)
    return not is_refused and limits.take_leased(limit, f"{client_id} {network}") == 0


def seconds_to_wait(limit: str, authorization: str, form: Mapping[str, str]) -> int:
    """0 where the request may be served; counts one call of its app from its address."""
    network = limits.network_of(requestinfo.current().ip)
    waiting = limits.waiting(limits.REFUSALS, network)
    if waiting:
        limits.tell_once(limits.REFUSALS, network)
        return waiting
    key = f"{client_auth.claimed(authorization, form)} {network}"
    waiting = limits.take(limit, key)
    if waiting:
        limits.tell_once(limit, key)
    return waiting
