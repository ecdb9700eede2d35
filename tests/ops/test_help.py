"""`manage.py help`: our own commands, and none that goes around tenants and the audit trail."""

import pytest


def test_help_lists_our_commands_and_no_foreign_ones(typed):
    listed = set(typed("help", "--commands").stdout.split())
    assert {"register_app", "logout_user", "create_tenant", "create_operator", "serve"} <= listed
    assert not {"createsuperuser", "changepassword", "createapplication", "cleartokens"} & listed
    assert "[oauth2_provider]" not in typed("help").stdout


@pytest.mark.parametrize("command", ["createsuperuser", "createapplication"])
def test_foreign_commands_are_unknown(typed, command):
    refused = typed(command)
    assert refused.returncode != 0
    assert "Unknown command" in refused.stderr
    assert "Traceback" not in refused.stderr
