"""Where apps find a tenant's style: a URL made from its content (CTXT-06, CTXT-08)."""

import hashlib
from dataclasses import asdict

import orjson

from authfi.lib import tenancy
from tenants import policies
from tenants.http import issuer
from tenants.style import StylePolicy

_DIGITS = 32


def url() -> str:
    """The `smart_style_url` of a launch: that of the bound tenant's style as it is now."""
    return f"{issuer(tenancy.current())}/style/{_name(policies.style())}.json"


def find(name: str) -> bytes | None:
    """The bound tenant's style of this name, however old; None where it never had such a one."""
    for style in policies.styles():
        if _name(style) == name:
            return _json(style)
    return None


def _name(style: StylePolicy) -> str:
    return hashlib.sha256(_json(style)).hexdigest()[:_DIGITS]


def _json(style: StylePolicy) -> bytes:
    return orjson.dumps(asdict(style))
