"""Compiled statements do what their querysets do, for the tenant that is bound."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from authfi.accounts.models import RoleAssignment, User
from authfi.lib import tenancy
from authfi.lib.compiled import Change, Query, Step, insert

pytestmark = pytest.mark.spec("T1", "D15")


def by_id():
    return Query(lambda key: User.objects.filter(pk=key, is_active=True), key=UUID)


def a_person():
    return User.objects.create(email=f"{uuid4()}@mercy.example", name="Ada Quimby", password="!")


def test_an_instance_is_what_the_queryset_gives(mercy):
    with tenancy.bind(mercy):
        ada, query = a_person(), by_id()
        for _ in range(8):
            found = query.first(key=ada.pk)
            expected = User.objects.get(pk=ada.pk)
            assert found == expected
            for field in User._meta.concrete_fields:
                assert getattr(found, field.attname) == getattr(expected, field.attname), field
        assert query.first(key=uuid4()) is None


def test_related_rows_come_along(mercy, django_assert_num_queries):
    query = Query(
        lambda role: RoleAssignment.objects.select_related("user").filter(role=role), role=str
    )
    with tenancy.bind(mercy):
        ada = a_person()
        RoleAssignment.objects.create(user=ada, role="doctor")
        query.first(role="nurse")
        with django_assert_num_queries(1):
            found = query.first(role="doctor")
            assert found is not None
            assert found.user.name == "Ada Quimby"


def test_each_run_sees_the_tenant_bound_then(mercy, lakeside):
    query = by_id()
    with tenancy.bind(mercy):
        ada = a_person()
        assert query.first(key=ada.pk) == ada
    with tenancy.bind(lakeside):
        assert query.first(key=ada.pk) is None
    with pytest.raises(tenancy.TenantNotBoundError):
        query.first(key=ada.pk)


def test_a_change_counts_its_rows(mercy, lakeside):
    change = Change(
        lambda key, now, until: (
            User.objects.filter(pk=key, created_at__lt=now),
            {"created_at": until},
        ),
        key=UUID,
        now=type(timezone.now()),
        until=type(timezone.now()),
    )
    later = timezone.now() + timedelta(hours=1)
    with tenancy.bind(mercy):
        ada = a_person()
        assert change.run(key=ada.pk, now=later, until=later) == 1
        assert change.run(key=uuid4(), now=later, until=later) == 0
        assert User.objects.get(pk=ada.pk).created_at == later
    with tenancy.bind(lakeside):
        assert change.run(key=ada.pk, now=later, until=timezone.now()) == 0


def test_a_value_without_a_place_is_an_error(mercy):
    with tenancy.bind(mercy), pytest.raises(ValueError, match="no place for other"):
        Query(lambda key, other: User.objects.filter(pk=key), key=UUID, other=str).first(
            key=uuid4(), other=""
        )


def test_a_row_is_inserted_as_by_save(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = a_person()
        for role in ("doctor", "nurse"):
            insert(RoleAssignment(user=ada, role=role))
        assert sorted(ada.role_assignments.values_list("role", flat=True)) == ["doctor", "nurse"]
        strange = RoleAssignment(user=ada, role="admin")
    with tenancy.bind(lakeside), pytest.raises(tenancy.WrongTenantError):
        insert(strange)


def activity(is_active):
    return Change(lambda key: (User.objects.filter(pk=key), {"is_active": is_active}), key=UUID)


def test_a_row_comes_after_its_changes(mercy, lakeside):
    activate, deactivate = activity(True), activity(False)
    with tenancy.bind(mercy):
        ada, eve = a_person(), a_person()
        for role in ("doctor", "nurse"):
            both = Step(activate, {"key": ada.pk}), Step(deactivate, {"key": eve.pk})
            assert insert(RoleAssignment(user=ada, role=role), *both)
        assert insert(RoleAssignment(user=ada, role="admin"), Step(deactivate, {"key": ada.pk}))
        assert not User.objects.filter(is_active=True).exists()
        assert ada.role_assignments.count() == 3
    with tenancy.bind(lakeside):
        stranger = Step(activate, {"key": ada.pk})
        assert not insert(RoleAssignment(user=a_person(), role="doctor"), stranger)
        assert not RoleAssignment.objects.exists()


def test_after_a_change_that_hits_nothing_nothing_is_done(mercy):
    deactivate = activity(False)
    with tenancy.bind(mercy):
        ada = a_person()
        nobody, somebody = (Step(deactivate, {"key": key}) for key in (uuid4(), ada.pk))
        assert not insert(RoleAssignment(user=ada, role="doctor"), nobody, somebody)
        assert User.objects.get(pk=ada.pk).is_active
        assert not RoleAssignment.objects.exists()
