"""Access tokens that must open nothing: each spoils one thing of a good one (O10, O18)."""

import base64
import json

from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from authfi.crypto import signing


def encoded(value) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def own_key(alg="ES256"):
    return signing.keys().active[alg]


def signed(claims, *, key=None, header=None, payload=None):
    """A token signed by Mercy's own key, or another, with anything in it."""
    key = key or own_key()
    head = {"alg": key.alg, "kid": key.kid, "typ": "at+jwt", **(header or {})}
    head = {name: value for name, value in head.items() if value is not None}
    data = payload if payload is not None else json.dumps(claims).encode()
    registry = jws.JWSRegistry(algorithms=[str(key.alg)], strict_check_header=False)
    return jws.serialize_compact(head, data, key, registry=registry)


def hs256_with_the_public_key(claims):
    public = json.dumps(own_key().as_dict(private=False)).encode()
    key = OctKey.import_key(public)
    head = {"alg": "HS256", "kid": own_key().kid, "typ": "at+jwt"}
    return jws.serialize_compact(head, json.dumps(claims).encode(), key, algorithms=["HS256"])


def with_other_last_bits(token):
    """The same signature, spelled with unused bits set: another text, equal bytes."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) + 1]


FORGED = {
    "none": lambda c, t: f"{encoded({'alg': 'none', 'typ': 'at+jwt'})}.{encoded(c)}.",
    "none with kid": lambda c, t: (
        f"{encoded({'alg': 'none', 'typ': 'at+jwt', 'kid': own_key().kid})}.{encoded(c)}."
    ),
    "HS256 with the public key": lambda c, t: hs256_with_the_public_key(c),
    "another key": lambda c, t: signed(c, key=jose_key()),
    "another key, our kid": lambda c, t: signed(c, key=jose_key(), header={"kid": own_key().kid}),
    "no kid": lambda c, t: signed(c, header={"kid": None}),
    "unknown kid": lambda c, t: signed(c, header={"kid": "x"}),
    "kid of the RSA key": lambda c, t: signed(c, header={"kid": own_key("RS256").kid}),
    "own key in the header": lambda c, t: signed(
        c, key=jose_key(), header={"jwk": jose_key().as_dict(private=False)}
    ),
    "jku": lambda c, t: signed(c, header={"jku": "https://evil.example/jwks"}),
    "crit": lambda c, t: signed(c, header={"crit": ["typ"]}),
    "typ JWT": lambda c, t: signed(c, header={"typ": "JWT"}),
    "no typ": lambda c, t: signed(c, header={"typ": None}),
    "RS256 says ES256": lambda c, t: t.replace(
        t.split(".")[0], encoded({"alg": "RS256", "kid": own_key().kid, "typ": "at+jwt"})
    ),
    "changed claims": lambda c, t: ".".join(
        [t.split(".")[0], encoded({**c, "patient": "790"}), t.split(".")[2]]
    ),
    "changed signature": lambda c, t: t[:-8] + "AAAAAAA" + t[-1],
    "zero signature": lambda c, t: ".".join([*t.split(".")[:2], encoded(b"\0" * 64)]),
    "short signature": lambda c, t: ".".join([*t.split(".")[:2], encoded(b"\1" * 63)]),
    "no signature": lambda c, t: ".".join([*t.split(".")[:2], ""]),
    "other spelling": lambda c, t: with_other_last_bits(t),
    "padding": lambda c, t: t + "==",
    "blank behind": lambda c, t: t + " ",
    "line break inside": lambda c, t: t[:40] + "\n" + t[40:],
    "five parts": lambda c, t: t + ".x.y",
    "two parts": lambda c, t: t.rpartition(".")[0],
    "nothing": lambda c, t: "",
    "not ASCII": lambda c, t: "é" + t,
    "surrogate": lambda c, t: "\ud800" + t,
    "too long": lambda c, t: signed({**c, "x": "y" * 9000}),
    "claims are a list": lambda c, t: signed(None, payload=b"[]"),
    "claims are not JSON": lambda c, t: signed(None, payload=b"{"),
    "other issuer": lambda c, t: signed({**c, "iss": c["iss"] + "/"}),
    "no issuer": lambda c, t: signed(without(c, "iss")),
    "other audience": lambda c, t: signed({**c, "aud": "https://elsewhere.example"}),
    "audience with a slash": lambda c, t: signed({**c, "aud": c["aud"] + "/"}),
    "list of audiences": lambda c, t: signed({**c, "aud": [c["aud"]]}),
    "no audience": lambda c, t: signed(without(c, "aud")),
    "expired": lambda c, t: signed({**c, "iat": c["iat"] - 1000, "exp": c["iat"] - 1}),
    "from the future": lambda c, t: signed({**c, "iat": c["iat"] + 60, "exp": c["iat"] + 90}),
    "lives too long": lambda c, t: signed({**c, "exp": c["iat"] + 3601}),
    "exp as text": lambda c, t: signed({**c, "exp": str(c["exp"])}),
    "exp as fraction": lambda c, t: signed({**c, "exp": c["exp"] + 0.5}),
    "exp true": lambda c, t: signed({**c, "exp": True}),
    "exp NaN": lambda c, t: signed({**c, "exp": float("nan")}),
    "exp endless": lambda c, t: signed({**c, "exp": float("inf")}),
    "exp huge": lambda c, t: signed({**c, "exp": 10**400}),
    "exp negative": lambda c, t: signed({**c, "exp": -1}),
    "no exp": lambda c, t: signed(without(c, "exp")),
    "no iat": lambda c, t: signed(without(c, "iat")),
    "no jti": lambda c, t: signed(without(c, "jti")),
    "no sub": lambda c, t: signed(without(c, "sub")),
    "no client_id": lambda c, t: signed(without(c, "client_id")),
    "no scope": lambda c, t: signed(without(c, "scope")),
    "scope as list": lambda c, t: signed({**c, "scope": ["patient/*.rs"]}),
    "malformed scope": lambda c, t: signed({**c, "scope": "patient/X.sr"}),
    "patient as number": lambda c, t: signed({**c, "patient": 789}),
    "grant that is no id": lambda c, t: signed({**c, "grant": "x"}),
    "grant as number": lambda c, t: signed({**c, "grant": 5}),
    "auth_time as text": lambda c, t: signed({**c, "auth_time": "now"}),
}


def jose_key():
    return ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}, auto_kid=True)


def without(claims, name):
    return {key: value for key, value in claims.items() if key != name}
