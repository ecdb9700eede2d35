"""`register_app`: an app from a file or standard input (contract; REGI-01 to REGI-12)."""

import getpass
import json
from base64 import b64encode
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from audit.models import AuditEvent
from authfi.lib import tenancy
from smart.models import Application
from smart.models.handles import handle_digest
from tests.ops.conftest import refusal, run

APP: dict[str, Any] = {
    "client_name": "Growth Chart",
    "redirect_uris": ["https://app.example/cb"],
    "launch_uris": ["https://app.example/launch"],
    "token_endpoint_auth_method": "none",
    "scope": "openid fhirUser launch/patient patient/*.rs offline_access",
}


@pytest.fixture
def file(tmp_path):
    """Writes a registration document."""

    def write(**changed):
        path = tmp_path / "app.json"
        document = {**APP, **changed}
        path.write_text(json.dumps({k: v for k, v in document.items() if v is not ...}))
        return str(path)

    return write


@pytest.mark.spec("REGI-02", "REGI-03", "REGI-10", "O24", "A1")
def test_a_public_app_is_printed_as_it_takes_effect(mercy, file):
    told = json.loads(run("register_app", mercy.slug, file(), "--operator", "Olga"))
    with tenancy.bind(mercy):
        app = Application.objects.get()
        event = AuditEvent.objects.get(code="admin.app")
        assert event.details["actor"]["id"] == "register_app by Olga"
    assert event.client_id == app.client_id
    assert told == {
        "client_id": app.client_id,
        "client_id_issued_at": int(app.created.timestamp()),
        "client_name": "Growth Chart",
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": APP["scope"],
        "redirect_uris": APP["redirect_uris"],
        "launch_uris": APP["launch_uris"],
        "post_logout_redirect_uris": [],
        "allowed_origins": ["https://app.example"],
        "in_development": False,
        "without_pkce": False,
        "patient_access": False,
        "access_token_seconds": 900,
    }
    assert len(app.client_id) == 32
    assert app.state == Application.State.ACTIVE


@pytest.mark.spec("REGI-02", "REGI-11", "O2", "REFR-18")
def test_a_confidential_app_is_told_its_secret_once(mercy, file):
    path = file(
        client_id="smart-1",
        token_endpoint_auth_method=...,
        without_pkce=True,
        patient_access=True,
        access_token_seconds=3600,
        policy_uri="https://app.example/privacy#short",
    )
    told = json.loads(run("register_app", mercy.slug, path))
    with tenancy.bind(mercy):
        app = Application.objects.get(client_id="smart-1")
        assert app.secret_digest == handle_digest("client_secret", told["client_secret"])
        details = AuditEvent.objects.get(code="admin.app").details
    assert told["client_secret_expires_at"] == 0
    assert told["token_endpoint_auth_method"] == "client_secret_basic"
    assert (app.without_pkce, app.patient_access, app.access_token_seconds) == (True, True, 3600)
    assert told["policy_uri"] == app.about["policy_uri"] == "https://app.example/privacy#short"
    assert told["client_secret"] not in str(details)
    assert details["actor"]["id"].endswith(getpass.getuser())


def test_an_app_for_the_management_api_works_at_once(mercy, file):
    path = file(
        grant_types=["client_credentials"],
        scope="authfi/launch",
        redirect_uris=...,
        launch_uris=...,
        token_endpoint_auth_method=...,
    )
    told = json.loads(run("register_app", mercy.slug, path))
    assert told["response_types"] == []
    basic = b64encode(f"{told['client_id']}:{told['client_secret']}".encode()).decode()
    answer = Client().post(
        f"/t/{mercy.slug}/oauth/token",
        "grant_type=client_credentials&scope=authfi/launch",
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": f"Basic {basic}"},
    )
    assert answer.status_code == 200, answer.content


@pytest.mark.spec("O3", "REGI-01")
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"redirect_uris": ["https://a.example/", "http://a.example/"]}, "redirect_uris[1]: "),
        ({"redirect_uris": ["http://localhost:4567/cb"]}, "redirect_uris[0]: "),
        ({"redirect_uris": ["https://a.example/#x"]}, "redirect_uris[0]: "),
        ({"redirect_uris": ["https://*.example/"]}, "redirect_uris[0]: "),
        ({"redirect_uris": ["http://[::1"]}, "redirect_uris[0]: "),
        ({"redirect_uris": ["https://me@a.example/"]}, "redirect_uris[0]: "),
        ({"redirect_uris": ...}, "redirect_uris: at least one"),
        ({"launch_uris": ["javascript:alert(1)"]}, "launch_uris[0]: "),
        ({"scope": "patient/Observation.sr"}, "scope: "),
        ({"scope": "openid authfi/users"}, "scope: "),
        ({"scope": "system/*.rs"}, "scope: "),
        ({"client_id": "a b"}, "client_id: "),
        ({"client_name": "x" * 101}, "client_name: "),
        ({"access_token_seconds": 9}, "access_token_seconds: "),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "token_endpoint_auth_method: "),
        ({"jwks": {"keys": []}}, "jwks: "),
    ],
)
def test_a_refusal_says_which_member_and_why(mercy, file, changed, told):
    said = refusal("register_app", mercy.slug, file(**changed))
    assert said.startswith(f"Not registered. {told}")
    with tenancy.bind(mercy):
        assert not Application.objects.exists()
        assert not AuditEvent.objects.filter(code="admin.app").exists()


@pytest.mark.spec("O3")
def test_an_app_in_development_may_live_on_localhost(mercy, file):
    path = file(redirect_uris=["http://localhost:4567/cb"], launch_uris=..., in_development=True)
    assert json.loads(run("register_app", mercy.slug, path))["allowed_origins"] == [
        "http://localhost:4567"
    ]


@pytest.mark.spec("REGI-02")
def test_an_id_is_given_once_in_a_tenant(mercy, lakeside, file):
    path = file(client_id="growth")
    run("register_app", mercy.slug, path)
    run("register_app", lakeside.slug, path)
    assert "client_id: growth is taken" in refusal("register_app", mercy.slug, path)


def test_files_tenants_and_operators_that_are_not_there(mercy, file, tmp_path):
    assert "There is no tenant" in refusal("register_app", "no-such", file())
    missing = str(tmp_path / "missing.json")
    assert "cannot be read: No such file" in refusal("register_app", mercy.slug, missing)
    assert "cannot be read" in refusal("register_app", mercy.slug, str(tmp_path))
    assert "--operator" in refusal("register_app", mercy.slug, file(), "--operator", " ")


def test_a_slip_of_the_pen_is_told_and_does_not_spoil_the_json(mercy, file, capsys):
    call_command("register_app", mercy.slug, file(redirect_uri="https://x.example/"))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["redirect_uris"] == APP["redirect_uris"]
    assert printed.err.startswith("warning: 'redirect_uri' is not a member")


def test_from_standard_input_in_a_process_of_its_own(mercy, typed):
    done = typed("register_app", mercy.slug, "-", stdin=json.dumps(APP))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["client_name"] == "Growth Chart"
    broken = typed("register_app", mercy.slug, "-", stdin='{"scope":\n}')
    assert (broken.returncode, broken.stdout) == (1, "")
    [line] = broken.stderr.splitlines()
    assert line.endswith("(line 2, column 1)")


def test_help_is_there(typed):
    done = typed("register_app", "--help")
    assert done.returncode == 0
    assert "allowed_origins" in done.stdout
