"""Compiled statements do what their querysets do, for the tenant that is bound."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from audit import events
from audit.models import AuditEvent
from audit.record import AuditUnavailableError, record_with
from authfi.accounts.models import RoleAssignment, User
from authfi.lib import tenancy
from authfi.lib.compiled import Change, Query, Step, Write, insert
from authfi.lib.transaction import BareTransactionError, transaction

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


def an_event():
    return events.Event(
        code=events.Code.TOKEN_ISSUE,
        outcome=events.Outcome.SUCCESS,
        actor=events.Actor.client("growth-chart"),
    )


def told():
    return AuditEvent.objects.filter(code=events.Code.TOKEN_ISSUE).count()


def activity(is_active):
    return Change(lambda key: (User.objects.filter(pk=key), {"is_active": is_active}), key=UUID)


def test_a_row_comes_after_its_changes(mercy, lakeside):
    activate, deactivate = activity(True), activity(False)
    with tenancy.bind(mercy):
        ada, eve = a_person(), a_person()
        for role in ("doctor", "nurse"):
            both = Step(activate, {"key": ada.pk}), Step(deactivate, {"key": eve.pk})
            assert record_with(Write(both, RoleAssignment(user=ada, role=role)), an_event())
        once = (Step(deactivate, {"key": ada.pk}),)
        assert record_with(Write(once, RoleAssignment(user=ada, role="admin")), an_event())
        assert record_with(Write(once), an_event())
        assert not User.objects.filter(is_active=True).exists()
        assert ada.role_assignments.count() == 3
        assert told() == 4
    with tenancy.bind(lakeside):
        stranger = (Step(activate, {"key": ada.pk}),)
        row = RoleAssignment(user=a_person(), role="doctor")
        assert not record_with(Write(stranger, row), an_event())
        assert not RoleAssignment.objects.exists()
        assert told() == 0


@pytest.mark.parametrize("is_first", [True, False])
def test_where_a_change_hits_nothing_nothing_is_done(mercy, is_first):
    deactivate = activity(False)
    with tenancy.bind(mercy):
        ada = a_person()
        steps = [Step(deactivate, {"key": key}) for key in (uuid4(), ada.pk)]
        ordered = tuple(steps if is_first else steps[::-1])
        for _ in range(6):  # the database plans anew for the first few
            assert not record_with(
                Write(ordered, RoleAssignment(user=ada, role="doctor")), an_event()
            )
        assert User.objects.get(pk=ada.pk).is_active
        assert not RoleAssignment.objects.exists()
        assert told() == 0


def test_a_reference_to_nothing_takes_all_of_it_back(mercy):
    deactivate = activity(False)
    with tenancy.bind(mercy):
        ada = a_person()
        row = RoleAssignment(user_id=uuid4(), role="doctor")
        with pytest.raises(AuditUnavailableError):
            record_with(Write((Step(deactivate, {"key": ada.pk}),), row), an_event())
        assert User.objects.get(pk=ada.pk).is_active
        assert told() == 0


def test_a_write_is_no_part_of_a_transaction(mercy):
    with tenancy.bind(mercy), transaction(), pytest.raises(BareTransactionError):
        record_with(Write((Step(activity(False), {"key": uuid4()}),)), an_event())
