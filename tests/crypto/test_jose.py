"""Tokens that must not verify (O18, O10)."""

import base64
import json

import pytest
from joserfc.jwk import KeySet

from authfi.crypto import jose, signing
from authfi.lib import tenancy


def unsigned(header, claims):
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    return b".".join([*parts, b""]).decode()


@pytest.fixture(scope="module")
def key():
    return jose.new_key("ES256")


@pytest.fixture(scope="module")
def keys(key):
    return KeySet.import_key_set({"keys": [key.as_dict(private=False)]})


@pytest.mark.spec("O18")
def test_a_token_of_ours_verifies(key, keys):
    token = jose.sign(key, {"sub": "ada"}, "at+jwt")
    assert jose.verify(token, keys, typ="at+jwt") == {"sub": "ada"}


@pytest.mark.spec("O18")
@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(
            lambda k: unsigned({"alg": "none", "typ": "at+jwt", "kid": k.kid}, {}), id="none"
        ),
        pytest.param(lambda k: jose.sign(jose.new_key("ES256"), {}, "at+jwt"), id="another key"),
        pytest.param(lambda k: jose.sign(k, {}, "JWT"), id="another kind"),
        pytest.param(lambda k: jose.sign(k, {}, "at+jwt")[:-4] + "AAAA", id="signature"),
        pytest.param(lambda k: jose.sign(k, {"x": "y" * 9000}, "at+jwt"), id="too long"),
        pytest.param(lambda k: "a.b.c", id="not a token"),
        pytest.param(lambda k: "", id="nothing"),
        pytest.param(lambda k: "\u00e9.\u00e9.\u00e9", id="not ASCII"),
        pytest.param(lambda k: jose.sign(k, {}, "at+jwt") + ".x.y", id="five parts"),
    ],
)
def test_a_forged_token_does_not(key, keys, forge):
    with pytest.raises(jose.BadTokenError):
        jose.verify(forge(key), keys, typ="at+jwt")


@pytest.mark.spec("OIDC-08")
def test_published_keys_hold_no_private_member(bound):
    published = signing.keys().jwks["keys"]
    assert {key["kty"] for key in published} == {"RSA", "EC"}
    for key in published:
        assert not set(key) & {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


@pytest.mark.spec("K6")
def test_each_tenant_signs_with_its_own_keys(mercy, lakeside):
    with tenancy.bind(mercy):
        token = signing.sign("ES256", {"sub": "ada"}, "at+jwt")
        assert jose.verify(token, signing.keys().public, typ="at+jwt")
