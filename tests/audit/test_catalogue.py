"""The catalogue of codes holds what the product records, and each code was seen recorded (A1)."""

import ast
from functools import cache
from pathlib import Path

import pytest

from audit.events import Code
from smart.gateway import trail

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("audit", "authfi", "consent", "smart", "tenants")

#: Code -> a test that makes the product record it, through a page, an endpoint, a command or the
#: service behind them, and looks for it in the trail.
DRIVEN = {
    Code.LOGIN_OK: "accounts/test_login.py::test_a_doctor_signs_in_with_password_and_code",
    Code.LOGIN_FAIL: "accounts/test_login.py::test_unknown_inactive_and_wrong_are_answered_alike",
    Code.MFA_OK: "accounts/test_login.py::test_a_doctor_signs_in_with_password_and_code",
    Code.MFA_FAIL: "accounts/test_login.py::test_a_code_used_once_does_not_open_a_second_session",
    Code.ENROL: "accounts/test_invitations.py::test_password_then_authenticator_then_signed_in",
    Code.LOGOUT: "accounts/test_login.py::test_signing_out_needs_a_post_and_is_recorded",
    Code.LOCK: (
        "accounts/test_throttling.py::test_fifty_over_days_disable_the_password_but_nothing_else"
    ),
    Code.LAUNCH_START: "flows/test_ehr_launch.py::test_opening_a_launch_is_audited",
    Code.LAUNCH_CHOOSE: "server/test_picker.py::test_a_choice_is_in_the_trail",
    Code.LAUNCH_DENY: "flows/test_ehr_launch.py::test_a_launch_is_used_once",
    Code.CONSENT_GRANT: "flows/test_standalone_launch.py::test_every_step_is_in_the_trail",
    Code.CONSENT_DENY: "consent/test_choosing.py::test_allow_with_nothing_ticked_is_a_denial",
    Code.CONSENT_REVOKE: (
        "account/test_account.py::test_ending_tells_the_consequence_and_is_effective_at_once"
    ),
    Code.CONSENT_NARROW: (
        "account/test_account.py::test_narrowing_takes_effect_at_the_next_refresh"
    ),
    Code.SCOPE_REDUCED: (
        "flows/test_standalone_launch.py::test_what_is_left_out_is_told_and_audited"
    ),
    Code.TOKEN_ISSUE: "flows/test_standalone_launch.py::test_every_step_is_in_the_trail",
    Code.TOKEN_REFRESH: "server/test_refresh.py::test_a_refresh",
    Code.TOKEN_REUSE: "server/test_refresh.py::test_of_fifty_at_once_one_rotates",
    Code.TOKEN_REVOKE: "server/test_revoke.py::test_an_access_token_goes_alone",
    Code.TOKEN_INTROSPECT: "server/test_introspect.py::test_an_access_token",
    Code.TOKEN_DENY: "server/test_refresh.py::test_a_refresh_is_refused",
    Code.FHIR_READ_ALLOW: "gateway/test_trail.py::test_a_read_is_told_whole",
    Code.FHIR_READ_DENY: "gateway/test_trail.py::test_each_refusal_is_one_event",
    Code.FHIR_SEARCH_ALLOW: (
        "gateway/test_trail.py::test_a_search_is_told_with_its_query_and_its_count"
    ),
    Code.FHIR_SEARCH_DENY: "gateway/test_trail.py::test_each_refusal_is_one_event",
    Code.FHIR_CREATE_ALLOW: "gateway/test_writes.py::test_a_patient_adds_to_his_own_record",
    Code.FHIR_CREATE_DENY: "gateway/test_trail.py::test_each_refusal_is_one_event",
    Code.FHIR_UPDATE_ALLOW: (
        "gateway/test_writes.py::test_an_update_replaces_the_version_that_was_judged"
    ),
    Code.FHIR_UPDATE_DENY: "gateway/test_trail.py::test_each_refusal_is_one_event",
    Code.FHIR_DELETE_ALLOW: "gateway/test_writes.py::test_a_delete_takes_the_resource_away",
    Code.FHIR_DELETE_DENY: "gateway/test_trail.py::test_each_refusal_is_one_event",
    Code.FHIR_INTENT: (
        "flows/test_kill_write.py::test_a_killed_write_is_announced_sent_once_and_told_of"
    ),
    Code.FHIR_OP_DENY: "gateway/test_trail.py::test_each_refusal_is_one_event",
    Code.ADMIN_TENANT: (
        "ops/test_founding.py::test_a_tenant_with_its_own_keys_and_an_admin_who_is_invited"
    ),
    Code.ADMIN_HEALTHCARE: "api/test_healthcare.py::test_the_one_call",
    Code.ADMIN_USER: "ops/test_founding.py::test_the_first_operator",
    Code.ADMIN_ROLE: "accounts/test_people.py::test_roles_are_given_taken_and_told",
    Code.ADMIN_APP: "ops/test_register_app.py::test_a_public_app_is_printed_as_it_takes_effect",
    Code.ADMIN_SESSION: "ops/test_logout_user.py::test_sessions_and_grants_end_and_are_counted",
    Code.ADMIN_DENY: "console/test_access.py::test_nobody_else_does",
    Code.POLICY_CHANGE: "tenants/test_policies.py::test_a_change_is_a_new_version_that_is_told",
    Code.AUDIT_READ: ("console/test_audit.py::test_readings_do_not_bury_the_trail_but_can_be_seen"),
    Code.AUDIT_VERIFY: (
        "audit/test_verdicts.py::test_an_edit_behind_the_checkpoint_is_found_by_the_reading_in_full"
    ),
    Code.AUDIT_ANOMALY: (
        "audit/test_checkpoints.py::test_a_clock_that_went_back_is_recorded_and_said"
    ),
}


@cache
def recorded():
    """Names of the codes that the product's own lines name."""
    files = [path for package in PRODUCT for path in (ROOT / package).rglob("*.py")]
    files.remove(ROOT / "audit" / "events.py")
    return {
        node.attr
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("Code")
    }


def composed():
    """The gateway makes these names from the interaction and how it was decided."""
    return {f"FHIR_{kind}_{end}" for kind in trail._KIND.values() for end in ("ALLOW", "DENY")}


def source_of(test):
    """A test with its parameters, as text."""
    place, _, name = test.partition("::")
    for node in ast.walk(ast.parse((ROOT / "tests" / place).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.unparse(node)
    raise AssertionError(f"there is no {test}")


@pytest.mark.spec("A1")
@pytest.mark.parametrize("code", list(Code))
def test_something_of_the_product_records_each_code(code):
    assert code.name in recorded() | composed()


@pytest.mark.spec("A1")
@pytest.mark.parametrize("code", list(Code))
def test_each_code_is_driven_by_a_test_that_looks_for_it(code):
    kind = code.split(".")[1]
    spellings = (f"Code.{code.name}", f"'{code}'", f"ward.told(reply, '{kind}')")
    source = source_of(DRIVEN[code])
    assert any(spelling in source for spelling in spellings), f"{DRIVEN[code]} looks for no {code}"


def test_the_table_names_no_other_codes():
    assert DRIVEN.keys() == set(Code)
