"""JWS signing and verifying with the algorithm pinned to the key (O18)."""

from functools import lru_cache
from typing import Any, Final

import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.util import urlsafe_b64encode

PrivateKey = RSAKey | ECKey
_ALGORITHMS: Final = {
    alg: jws.JWSRegistry(algorithms=[alg]).get_alg(alg) for alg in ("ES256", "ES384", "RS256")
}
MAX_TOKEN_BYTES = 8192


class BadTokenError(ValueError):
    """A JWT that is malformed, oversized, unsigned by our keys or signed another way."""


def new_key(alg: str) -> PrivateKey:
    """A fresh signing key: ES256, ES384 or RS256 with 2048 bits."""
    if alg == "RS256":
        return RSAKey.generate_key(2048, {"alg": alg, "use": "sig"}, auto_kid=True)
    curve = {"ES256": "P-256", "ES384": "P-384"}[alg]
    return ECKey.generate_key(curve, {"alg": alg, "use": "sig"}, auto_kid=True)


def sign(key: PrivateKey, claims: dict[str, Any], typ: str = "JWT") -> str:
    """A compact JWS with `alg` and `kid` of the key (RFC 7515 7.1)."""
    alg = str(key.alg)
    message = _header(alg, str(key.kid), typ) + urlsafe_b64encode(orjson.dumps(claims))
    signature = _ALGORITHMS[alg].sign(message, key)
    return (message + b"." + urlsafe_b64encode(signature)).decode()


def verify(token: str, keys: KeySet, *, typ: str) -> dict[str, Any]:
    """The claims of a token signed by one of `keys`; times and audience are the caller's to check.

    Raises BadTokenError.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise BadTokenError("the token is too long")
    try:
        header = jws.extract_compact(token.encode()).headers()
        _check_header(header, typ)
        key = keys.get_by_kid(header["kid"])
        if header["alg"] != key.alg:
            raise BadTokenError("the token's algorithm is not its key's")
        return jwt.decode(token, key, algorithms=[str(key.alg)]).claims
    except (JoseError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadTokenError("the token's signature does not verify") from error


@lru_cache(maxsize=1024)
def _header(alg: str, kid: str, typ: str) -> bytes:
    """The protected header, which is the same for all that a key signs, and the dot behind it."""
    return urlsafe_b64encode(orjson.dumps({"alg": alg, "kid": kid, "typ": typ})) + b"."


def _check_header(header: dict[str, Any], typ: str) -> None:
    if set(header) - {"alg", "kid", "typ"}:
        raise BadTokenError("the token's header has members that are not allowed")
    if not isinstance(header.get("kid"), str) or header.get("typ") != typ:
        raise BadTokenError("the token is of another kind")
