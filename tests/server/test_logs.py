"""No secret and no health data in any log line, whatever goes right or wrong (O20, D19)."""

import logging

import pytest

from authfi.lib import tenancy
from smart.models import Application
from tests.server.conftest import SCOPES, refused


@pytest.mark.spec("O20", "D19")
def test_a_launch_leaves_no_secret_in_the_logs(pat_flow, mercy, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with tenancy.bind(mercy):
        Application.objects.update(
            grant_types="authorization_code refresh_token", scopes=f"{SCOPES} online_access"
        )
    code = pat_flow.code(scope="launch/patient openid patient/*.rs offline_access")
    refused(pat_flow.exchange(code, code_verifier="v" * 43), "invalid_grant")
    body = pat_flow.exchange(code).json()
    refused(pat_flow.exchange(code), "invalid_grant")
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    refused(pat_flow.post({**form, "client_id": pat_flow.client_id}), "invalid_grant")
    pat_flow.client.get(f"{pat_flow.path}/oauth/userinfo?access_token={body['access_token']}")
    pat_flow.client.get(f"{pat_flow.path}/nowhere")
    logging.getLogger("smart").debug("everything is written")
    captured = capfd.readouterr()
    written = caplog.text + captured.out + captured.err
    assert "everything is written" in written
    session = pat_flow.client.cookies[f"authfi_{mercy.slug}"].value
    secrets = {
        "code": code,
        "verifier": pat_flow.verifier,
        "session": session,
        "person": "Lindqvist",
        **{name: body[name] for name in ("access_token", "refresh_token", "id_token")},
    }
    assert [name for name, value in secrets.items() if value in written] == []
