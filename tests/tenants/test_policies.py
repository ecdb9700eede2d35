"""Policies: versions that only grow, frozen values, each tenant's own (D10, H7, N1, N12)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from audit.events import Actor
from audit.models import AuditEvent
from authfi.lib import tenancy
from tenants import policies
from tenants.models import Policy

ADMIN = Actor.person("0d0f6a3e-0000-4000-8000-000000000001", roles=("admin",), aal=2)


def change(kind="sign-in", **changes):
    return policies.change(kind=kind, changes=changes, actor=ADMIN)


@pytest.mark.spec("H7", "N12", "N1")
def test_the_standing_rules_hold_where_nothing_was_changed(bound):
    policy = policies.sign_in()
    assert policy == policies.SignInPolicy()
    assert policy.patient_mfa
    assert policy.min_password_length == 15
    assert policy.limits("patient") == policies.SessionLimits(12 * 3600, 30 * 60)
    assert policy.limits("clinician") == policies.SessionLimits(12 * 3600, 15 * 60)
    assert policy.limits("admin") == policies.SessionLimits(8 * 3600, 15 * 60)
    assert policies.clinician_access().default == "care-team"


@pytest.mark.spec("A1")
def test_a_change_is_a_new_version_that_is_told(bound):
    policies.sign_in()
    change(patient_mfa=False)
    change(admin_idle_seconds=300)
    policy = policies.sign_in()
    assert (policy.patient_mfa, policy.admin_idle_seconds) == (False, 300)
    rows = list(Policy.objects.order_by("version"))
    assert [(row.version, row.changed_by) for row in rows] == [(1, ADMIN.id), (2, ADMIN.id)]
    assert rows[0].document["admin_idle_seconds"] == 900, "a version is never rewritten"
    event = AuditEvent.objects.filter(code="policy.change").latest("seq")
    assert event.details["before"] == {"admin_idle_seconds": 900}
    assert event.details["after"] == {"admin_idle_seconds": 300}
    assert event.details["object"] == "Policy/sign-in"


@pytest.mark.spec("T1")
def test_each_tenant_has_its_own(mercy, lakeside):
    with tenancy.bind(mercy):
        change(patient_mfa=False)
    with tenancy.bind(lakeside):
        assert policies.sign_in().patient_mfa
    with tenancy.bind(mercy):
        assert not policies.sign_in().patient_mfa


@pytest.mark.parametrize(
    "changes",
    [
        {"unheard_of": 1}, {"patient_mfa": 0}, {"patient_mfa": "no"}, {"min_password_length": True},
        {"min_password_length": 7}, {"min_password_length": 65}, {"min_password_length": "15"},
        {"min_password_length": 14, "patient_mfa": False}, {"patient_idle_seconds": 3601},
        {"patient_idle_seconds": 59}, {"admin_session_seconds": 86401},
        {"clinician_session_seconds": 600}, {"admin_idle_seconds": 9.5},
    ],
)  # fmt: skip
@pytest.mark.spec("N1", "N12")
def test_what_is_not_allowed_changes_nothing(bound, changes):
    with pytest.raises(ValidationError):
        change(**changes)
    assert policies.sign_in() == policies.SignInPolicy()
    assert not Policy.objects.exists()
    assert not AuditEvent.objects.filter(code="policy.change").exists()


def test_an_unknown_kind_is_refused(bound):
    with pytest.raises(ValidationError, match="No policy"):
        change(kind="weather", rain=True)


@pytest.mark.spec("G47")
def test_whose_record_a_clinician_may_open_is_data(bound):
    change(kind="clinician-access", by_role={"doctor": "all"})
    assert policies.clinician_access().by_role == {"doctor": "all"}
    for wrong in ({"by_role": {"nurse": "everyone"}}, {"by_role": {"nurse": 1}}, {"default": "x"},
                  {"by_role": "all"}):  # fmt: skip
        with pytest.raises(ValidationError):
            change(kind="clinician-access", **wrong)


@pytest.mark.spec("O13", "REFR-18", "D10")
def test_how_long_apps_stay_connected(bound):
    usual = policies.tokens().limits(patient_access=False)
    assert (usual.idle.days, usual.absolute and usual.absolute.days) == (30, 90)
    patients = policies.tokens().limits(patient_access=True)
    assert (patients.idle.days, patients.absolute) == (100, None)
    for wrong in ({"idle_days": 0}, {"idle_days": 91}, {"absolute_days": 29},
                  {"absolute_days": 401}, {"patient_access_idle_days": 0},
                  {"patient_access_idle_days": 401}, {"idle_days": 30.5}):  # fmt: skip
        with pytest.raises(ValidationError):
            change(kind="tokens", **wrong)
    assert policies.tokens() == policies.RefreshPolicy()
    change(kind="tokens", idle_days=90)
    assert policies.tokens().limits(patient_access=False).idle.days == 90


def test_other_processes_follow_within_seconds(bound, monkeypatch):
    assert policies.sign_in().patient_mfa
    document = {"patient_mfa": False, "member_of_a_later_release": 1}
    Policy.objects.create(kind="sign-in", version=1, document=document, changed_by="x")
    assert policies.sign_in().patient_mfa, "read a moment ago"
    monkeypatch.setattr(policies._read, "seconds", 0)
    assert not policies.sign_in().patient_mfa
    assert policies.sign_in().min_password_length == 15


def test_changes_at_the_same_time_do_not_lose_each_other(bound):
    barrier = threading.Barrier(4)

    def one(minutes):
        barrier.wait()
        try:
            with tenancy.bind(bound):
                change(patient_idle_seconds=minutes * 60)
        except ValidationError:
            return 0
        else:
            return 1
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(one, (10, 11, 12, 13)))
    assert done >= 1
    assert [row.version for row in Policy.objects.order_by("version")] == list(range(1, done + 1))
