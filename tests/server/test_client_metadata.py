"""Registration documents: what is taken, which member is refused and why (RFC 7591 2)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.server import client_metadata
from smart.server.client_metadata import MetadataError, parse

APP: dict[str, Any] = {
    "client_name": "Growth Chart",
    "redirect_uris": ["https://app.example/cb"],
    "token_endpoint_auth_method": "none",
    "scope": "openid patient/*.rs",
}


def parsed(**changed):
    return parse(json.dumps({**APP, **changed}).encode())


def refusal(document: bytes) -> str:
    with pytest.raises(MetadataError) as error:
        parse(document)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.spec("REGI-01", "REGI-03")
def test_a_whole_document():
    found = parsed(
        client_id="growth",
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        client_uri="https://app.example/",
        contacts=["dev@app.example"],
        software_id="4711",
        software_version="1.2",
        launch_uris=["https://app.example/launch"],
        post_logout_redirect_uris=["https://app.example/bye"],
        allowed_origins=["https://app.example"],
        in_development=True,
        patient_access=True,
        access_token_seconds=600,
    )
    assert found == client_metadata.ClientMetadata(
        client_id="growth",
        name="Growth Chart",
        is_public=True,
        grant_types=("authorization_code", "refresh_token"),
        scopes="openid patient/*.rs",
        redirect_uris=("https://app.example/cb",),
        launch_uris=("https://app.example/launch",),
        post_logout_redirect_uris=("https://app.example/bye",),
        allowed_origins=("https://app.example",),
        in_development=True,
        patient_access=True,
        access_token_seconds=600,
        about={
            "client_uri": "https://app.example/",
            "contacts": ("dev@app.example",),
            "software_id": "4711",
            "software_version": "1.2",
        },
    )


def test_what_is_left_out_has_the_defaults_of_rfc_7591():
    found = parse(b'{"redirect_uris": ["https://app.example/cb"], "client_name": null}')
    assert (found.client_id, found.name, found.allowed_origins) == (None, None, None)
    assert (found.is_public, found.grant_types) == (False, ("authorization_code",))
    assert found.scopes == client_metadata.DEFAULT_SCOPE
    assert [warning.split(":")[0] for warning in found.warnings] == ["client_name", "scope"]


def test_unknown_members_are_ignored_but_told():
    found = parsed(redirect_uri="https://x.example/", application_type="web")
    slip, unknown = found.warnings
    assert "redirect_uris is one" in slip
    assert "'application_type'" in unknown
    assert not parsed().warnings


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"redirect_uris": "https://app.example/cb"}, "redirect_uris: a text, a list of texts"),
        ({"redirect_uris": [1]}, "redirect_uris[0]: a number, a text is needed"),
        ({"redirect_uris": ["https://a.example/", ""]}, "redirect_uris[1]: 1 to "),
        ({"redirect_uris": ["https://a.example/ b"]}, "redirect_uris[0]: a URI has no white space"),
        ({"redirect_uris": ["https://a.example/"] * 2}, "redirect_uris[1]: the same as [0]"),
        ({"redirect_uris": [f"https://a.example/{i}" for i in range(51)]}, "redirect_uris: more"),
        ({"launch_uris": {}}, "launch_uris: an object, a list of texts is needed"),
        ({"contacts": ["a\nb"]}, "contacts[0]: "),
        ({"client_name": ["x"]}, "client_name: a list, a text is needed"),
        ({"client_name": "x" * 2001}, "client_name: 1 to 2000"),
        ({"scope": ["openid"]}, "scope: a list, a text of scopes"),
        ({"scope": ""}, "scope: 1 to"),
        ({"in_development": "yes"}, "in_development: a text, true or false is needed"),
        ({"patient_access": 1}, "patient_access: a number, true or false is needed"),
        ({"access_token_seconds": True}, "access_token_seconds: true or false, a whole number"),
        ({"access_token_seconds": 1.5}, "access_token_seconds: a number, a whole number"),
        ({"grant_types": ["implicit"]}, "grant_types[0]: 'implicit' is not offered"),
        ({"grant_types": []}, "grant_types: authorization_code for an app that people use"),
        (
            {"grant_types": ["authorization_code", "client_credentials"]},
            "grant_types: authorization_code for an app that people use",
        ),
        ({"grant_types": ["refresh_token"]}, "grant_types: "),
        ({"grant_types": ["client_credentials"]}, "token_endpoint_auth_method: "),
        (
            {"grant_types": ["client_credentials", "refresh_token"]},
            "grant_types: refresh_token goes with authorization_code",
        ),
        ({"response_types": ["token"]}, "response_types[0]: 'token' is not offered, use code"),
        ({"response_types": []}, "response_types: code goes with authorization_code"),
        (
            {"token_endpoint_auth_method": "private_key_jwt"},
            "token_endpoint_auth_method: private_key_jwt is not offered yet",
        ),
        (
            {"token_endpoint_auth_method": "client_secret_post"},
            "token_endpoint_auth_method: 'client_secret_post' is not offered, use client_secret_b",
        ),
        ({"jwks": {"keys": []}}, "jwks: goes with private_key_jwt, which is not offered yet"),
        ({"jwks_uri": "https://a.example/jwks"}, "jwks_uri: goes with private_key_jwt"),
        ({"client_secret": "x" * 43}, "client_secret: is made here"),
        ({"without_pkce": True}, "without_pkce: an app without a secret always uses PKCE"),
        ({"client_uri": "javascript:alert(1)"}, "client_uri: 'javascript:alert(1)' is not an http"),
        ({"logo_uri": "https://me@a.example/"}, "logo_uri: "),
        ({"tos_uri": "https://[::1"}, "tos_uri: "),
        ({"policy_uri": 7}, "policy_uri: a number, a text is needed"),
    ],
)
@pytest.mark.spec("REGI-01", "REGI-12", "O1", "O2")
def test_the_member_that_is_wrong_is_named(changed, told):
    text = refusal(json.dumps({**APP, **changed}).encode())
    assert text.startswith(told)


def test_all_members_that_are_wrong_are_named_at_once():
    text = refusal(json.dumps({**APP, "scope": 1, "contacts": 2, "jwks": {}}).encode())
    assert [part.split(":")[0] for part in text.split("; ")] == ["jwks", "scope", "contacts"]


def test_an_app_in_its_own_name_says_what_it_may_ask_for():
    document = {"grant_types": ["client_credentials"], "client_name": "EHR"}
    assert refusal(json.dumps(document).encode()).startswith("scope: ")
    found = parse(json.dumps({**document, "scope": "authfi/launch"}).encode())
    assert (found.is_public, found.grant_types) == (False, ("client_credentials",))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"", "the document is not JSON: Expecting value (line 1, column 1)"),
        (b'{\n  "scope": "openid",\n}', "(line 3, column 1)"),
        (b"[]", "the document is a list, an object is needed"),
        (b"null", "the document is null, an object is needed"),
        (b'{"scope": "a", "scope": "b"}', "scope: given twice"),
        (b'{"access_token_seconds": NaN}', "NaN is no JSON value"),
        (b'{"client_name": "\xff"}', "the document is not UTF-8 (byte 18)"),
        (b"[" * 60_000, "nested too deeply"),
        (b" " * 65_537, "longer than 65536 bytes"),
    ],
)
def test_a_document_that_is_no_document(document, told):
    assert told in refusal(document)


def test_a_byte_order_mark_does_not_matter():
    assert parse(b"\xef\xbb\xbf" + json.dumps(APP).encode()).name == "Growth Chart"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*client_metadata._READERS, "jwks", "x"]), JSON))
def test_any_json_is_read_or_refused(document):
    try:
        found = parse(json.dumps(document).encode())
    except MetadataError:
        return
    assert ("authorization_code" in found.grant_types) != (
        "client_credentials" in found.grant_types
    )
