"""Registering apps: what is taken, what is refused, what is kept (REGI, O3, O21)."""

import pytest
from django.core.exceptions import ValidationError

from authfi.lib import tenancy
from smart.models import Application
from smart.server import redirect_uris
from smart.server.register import register_application
from tests.server.conftest import an_app, trail


@pytest.mark.spec("REGI-02", "REGI-10", "A1")
def test_a_public_app(mercy):
    app = an_app(mercy)
    assert app.is_public
    assert not app.secret_digest
    assert app.allowed_origins == "https://app.example"
    [(_, outcome, details)] = trail(mercy, "admin.app")
    assert (outcome, details["after"]["client_type"]) == ("success", "public")


@pytest.mark.spec("REGI-11", "O21", "CAUT-04")
def test_a_secret_is_told_once_and_kept_as_a_digest(bound):
    app, secret = register_application(
        client_id="ehr",
        name="EHR",
        client_type="confidential",
        scopes="authfi/launch",
        grant_types=["client_credentials"],
    )
    assert secret
    assert len(secret) == 43
    assert set(secret) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    app.refresh_from_db()
    assert secret not in str(vars(app))
    assert app.access_token_seconds == 300


REFUSED = [
    ({"client_id": "a b"}, "client_id"),
    ({"client_id": ""}, "client_id"),
    ({"client_id": "é"}, "client_id"),
    ({"client_id": "x" * 101}, "client_id"),
    ({"name": ""}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"client_type": "secret"}, "client_type"),
    ({"grant_types": ["implicit"]}, "grant_types"),
    ({"grant_types": []}, "grant_types"),
    ({"grant_types": ["client_credentials"]}, "authorization_code"),
    ({"grant_types": ["refresh_token"]}, "grant_types"),
    ({"grant_types": ["authorization_code", "client_credentials"]}, "grant_types"),
    ({"scopes": ""}, "scope: none"),
    ({"scopes": "patient/Observation.sr"}, "scope: "),
    ({"scopes": "whatever"}, "scope: whatever"),
    ({"scopes": "openid authfi/users"}, "management"),
    ({"scopes": "openid __introspection"}, "management"),
    ({"scopes": "openid system/*.rs"}, "system/"),
    ({"without_pkce": True}, "without_pkce"),
    ({"access_token_seconds": 59}, "access_token_seconds"),
    ({"access_token_seconds": 3601}, "access_token_seconds"),
    ({"secret": "x" * 43}, "no secret"),
    ({"redirect_uris": []}, "redirect_uris"),
    ({"redirect_uris": ["https://app.example/", "http://app.example/cb"]}, r"redirect_uris\[1\]: "),
    ({"redirect_uris": ["http://app.example/cb"]}, "must be https"),
    ({"redirect_uris": ["http://localhost/cb"]}, "in development"),
    ({"redirect_uris": ["https://app.example/*"]}, "https URI"),
    ({"redirect_uris": ["https://*.example/cb"]}, "https URI"),
    ({"redirect_uris": ["https://app.example/cb#x"]}, "https URI"),
    ({"redirect_uris": ["https://me@app.example/cb"]}, "user name"),
    ({"redirect_uris": ["https://app.example\\@x/cb"]}, "https URI"),
    ({"redirect_uris": ["HTTPS://app.example/cb"]}, "https URI"),
    ({"redirect_uris": ["https://App.example/cb"]}, "https URI"),
    ({"redirect_uris": ["https:///cb"]}, "https URI"),
    ({"redirect_uris": ["https://app.example:99999/cb"]}, "https URI"),
    ({"redirect_uris": ["javascript:alert(1)"]}, "https URI"),
    ({"redirect_uris": ["com.example.app:/cb"]}, "https URI"),
    ({"redirect_uris": ["http://127.0.0.1.evil.example/cb"]}, "must be https"),
    ({"launch_uris": ["http://app.example/launch"]}, "must be https"),
    ({"allowed_origins": ["https://app.example/"]}, "not an origin"),
    ({"allowed_origins": ["https://app.example/x"]}, "not an origin"),
    ({"allowed_origins": ["*"]}, "https URI"),
    ({"allowed_origins": ["null"]}, "https URI"),
    ({"allowed_origins": ["https://app.example:443"]}, "not an origin"),
    ({"post_logout_redirect_uris": ["http://app.example/bye"]}, r"post_logout_redirect_uris\[0\]"),
]


@pytest.mark.spec("REGI-01", "REGI-11", "REGI-12", "O3", "O1")
@pytest.mark.parametrize(("changed", "told"), REFUSED)
def test_what_is_refused(mercy, changed, told):
    with pytest.raises(ValidationError, match=told):
        an_app(mercy, **changed)
    with tenancy.bind(mercy):
        assert not Application.objects.exists()


@pytest.mark.spec("REGI-12", "O1")
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"scopes": "system/*.rs"}, "management scopes only"),
        ({"scopes": "authfi/users openid"}, "management scopes only"),
        ({"redirect_uris": ["https://x.example/"]}, "no redirect"),
        ({"grant_types": ["client_credentials", "refresh_token"]}, "goes alone"),
        ({"patient_access": True}, "patient_access"),
        ({"secret": "short"}, "secret"),
        ({"secret": "ä" * 50}, "secret"),
    ],
)
def test_what_is_refused_of_an_app_with_a_secret(mercy, changed, told):
    facts = {
        "client_type": "confidential",
        "grant_types": ["client_credentials"],
        "scopes": "authfi/users",
        "redirect_uris": [],
        "launch_uris": [],
        "allowed_origins": [],
    }
    with pytest.raises(ValidationError, match=told):
        an_app(mercy, **{**facts, **changed})


@pytest.mark.spec("REGI-12", "O2", "AUTZ-11")
def test_a_confidential_app_for_people_may_do_without_pkce(mercy):
    app = an_app(mercy, client_type="confidential", without_pkce=True, patient_access=True)
    assert (app.without_pkce, app.patient_access) == (True, True)
    assert app.secret_digest
    [(_, _, details)] = trail(mercy, "admin.app")
    assert details["after"]["without_pkce"] is True


@pytest.mark.spec("REGI-10", "CORS-02")
@pytest.mark.parametrize(
    ("client_type", "expected"),
    [("public", "https://app.example https://b.example:8443"), ("confidential", "")],
)
def test_a_public_app_calls_from_where_its_pages_are(mercy, client_type, expected):
    uris = ["https://app.example/a", "https://app.example:443/b", "https://b.example:8443/"]
    app = an_app(mercy, client_type=client_type, redirect_uris=uris, allowed_origins=None)
    assert app.allowed_origins == expected


@pytest.mark.spec("REGI-10")
def test_an_app_may_name_no_origin_at_all(mercy):
    assert not an_app(mercy, allowed_origins=[]).allowed_origins


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ("openid", "authorization_code"),
        ("openid offline_access", "authorization_code refresh_token"),
        ("openid online_access", "authorization_code refresh_token"),
    ],
)
def test_who_asks_to_stay_connected_may_refresh(mercy, scopes, expected):
    assert an_app(mercy, scopes=scopes).grant_types == expected


@pytest.mark.spec("D2", "REGI-02")
def test_a_client_id_is_unique_in_its_tenant_only(mercy, lakeside):
    an_app(mercy)
    an_app(lakeside)
    with pytest.raises(ValidationError, match="client_id: growth-chart is taken"):
        an_app(mercy)
    assert len(trail(mercy, "admin.app")) == 1


@pytest.mark.spec("O3")
@pytest.mark.parametrize(
    ("asked", "in_development", "expected"),
    [
        ("http://127.0.0.1:8123/cb", False, True),
        ("http://127.0.0.1/cb", False, True),
        ("http://[::1]:9/cb", False, True),
        ("http://localhost:3000/cb", True, True),
        ("http://localhost:3000/cb", False, False),
        ("http://127.0.0.1:8123/cb/", False, False),
        ("http://127.0.0.1:8123/other", False, False),
        ("http://127.0.0.1:8123/cb?x=1", False, False),
        ("http://127.0.0.1:x/cb", False, False),
        ("http://127.0.0.1:8123@evil.example/cb", False, False),
        ("http://127.0.0.1:08000/cb", False, False),
        ("http://127.0.0.2:8123/cb", False, False),
        ("http://2130706433/cb", False, False),
        ("https://127.0.0.1:8123/cb", False, False),
        ("https://app.example:8443/cb", True, False),
    ],
)
def test_only_the_port_of_a_loopback_address_may_differ(asked, in_development, expected):
    registered = (
        "http://127.0.0.1:8000/cb",
        "http://[::1]:8000/cb",
        "http://localhost:8000/cb",
        "https://app.example/cb",
    )
    found = redirect_uris.is_registered(asked, registered, in_development=in_development)
    assert found is expected


@pytest.mark.spec("O3")
def test_localhost_is_for_apps_in_development(mercy):
    uris = ["http://localhost:8000/cb"]
    app = an_app(mercy, redirect_uris=uris, in_development=True, allowed_origins=[])
    assert app.redirect_uris == uris[0]
