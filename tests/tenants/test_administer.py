"""`tenants.administer`: operators act on another tenant in the open, nobody else does."""

import contextlib

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from audit.events import Actor, Code
from audit.models import AuditEvent
from authfi.lib import tenancy
from tenants import directory
from tenants.administer import NotOperatorError, administer
from tenants.services import create_tenant

OPERATOR = Actor.person("0b3f", roles=("operator",), aal=2)


@pytest.fixture
def platform():
    with contextlib.suppress(ValidationError, IntegrityError):  # another worker was quicker
        create_tenant(slug=tenancy.PLATFORM_SLUG, name="Platform")
    directory.forget(tenancy.PLATFORM_SLUG)
    found = directory.find(tenancy.PLATFORM_SLUG)
    assert found
    return found.ref


def told(tenant, purpose):
    with tenancy.bind(tenant):
        rows = AuditEvent.objects.filter(code=Code.ADMIN_TENANT)
        return [row.details for row in rows if row.details.get("purpose") == purpose]


@pytest.mark.spec("T6")
def test_both_trails_hold_it_before_the_work_begins(platform, mercy):
    purpose = f"look at {mercy.slug}"
    with tenancy.bind(platform), administer(mercy, actor=OPERATOR, purpose=purpose):
        assert tenancy.current() == mercy
        for tenant in (platform, mercy):
            (details,) = told(tenant, purpose)
            assert details["actor"]["id"] == "0b3f"
            assert details["object"] == f"Tenant/{mercy.slug}"


@pytest.mark.spec("T6")
def test_a_hospital_never_acts_on_another(mercy, lakeside):
    with (
        tenancy.bind(lakeside),
        pytest.raises(NotOperatorError),
        administer(mercy, actor=OPERATOR, purpose="peek"),
    ):
        pytest.fail("acted on another tenant")
    assert told(mercy, "peek") == []


def test_without_a_tenant_bound_nothing_is_administered(mercy):
    with (
        pytest.raises(tenancy.TenantNotBoundError),
        administer(mercy, actor=OPERATOR, purpose="peek"),
    ):
        pytest.fail("acted without a tenant")
