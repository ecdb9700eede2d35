"""Limits of the gateway: requests of each app, refusals at each address (V1)."""

from authfi.lib import requestinfo
from smart.tokens import AccessToken
from tenants import limits


async def request(token: AccessToken) -> int:
    """Count one request of the token's app; 0, or the seconds it has to wait."""
    seconds = limits.take_leased(limits.GATEWAY, token.client_id)
    if seconds is None:
        seconds = await limits.atake(limits.GATEWAY, token.client_id)
    if seconds:
        await limits.atell_once(limits.GATEWAY, token.client_id)
    return seconds


async def refusal(client_id: str = "") -> int:
    """Count one refusal that is about to be recorded of somebody without a good token.

    `client_id` is the app that a token of this server's, now worth nothing, was given to: at each
    address its refusals are counted apart, so that one app's old tokens do not hide from another
    that its own has expired.

    0, or the seconds to wait where there were too many: then it is not recorded, so that nobody
    makes the trail grow without bound.
    """
    network = limits.network_of(requestinfo.current().ip)
    key = f"{network} {client_id}" if client_id else network
    seconds = await limits.atake(limits.REFUSALS, key)
    if seconds:
        await limits.atell_once(limits.REFUSALS, key)
    return seconds
