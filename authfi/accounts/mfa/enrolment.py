"""What an authenticator app is given: a fresh seed, as a QR code and as text (N8; RFC 6238)."""

import base64
import secrets
from urllib.parse import quote, urlencode

import segno

from authfi.accounts.mfa.totp import DIGITS, SEED_BYTES, STEP_SECONDS


def new_seed() -> str:
    """160 random bits, as hex."""
    return secrets.token_hex(SEED_BYTES)


def secret_text(seed_hex: str) -> str:
    """The seed as people type it: base32 in groups of four."""
    secret = _base32(seed_hex)
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))


def provisioning_uri(seed_hex: str, *, organisation: str, account: str) -> str:
    """The `otpauth` URI that authenticator apps read."""
    parameters = {
        "secret": _base32(seed_hex),
        "issuer": organisation,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_SECONDS,
    }
    label = f"{quote(organisation, safe='')}:{quote(account, safe='@')}"
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"


def qr_svg(uri: str) -> str:
    """An `<svg>` element, dark on light whatever the page's colours, sized by its style sheet."""
    return segno.make_qr(uri, error="m").svg_inline(
        border=4, dark="#000", light="#fff", omitsize=True
    )


def _base32(seed_hex: str) -> str:
    return base64.b32encode(bytes.fromhex(seed_hex)).decode().rstrip("=")
