"""The tenant wall: managers on every database, row-level security below them on PostgreSQL."""

import asyncio
import secrets
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, connections
from django.db import transaction as django_transaction

from authfi.accounts.models import RoleAssignment, User
from authfi.lib import database, tenancy
from authfi.lib.transaction import transaction

pytestmark = pytest.mark.spec("T1", "T2", "T4")


def a_person(email="ada@mercy.example"):
    return User.objects.create(email=email, name="Ada Quimby", password="!")


def test_a_query_without_a_tenant_is_refused(mercy):
    with pytest.raises(tenancy.TenantNotBoundError):
        list(User.objects.all())
    with pytest.raises(tenancy.TenantNotBoundError):
        User(email="a@b.example", name="A").save()


def test_each_tenant_sees_its_own_people_only(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = a_person()
    with tenancy.bind(lakeside):
        assert not User.objects.filter(pk=ada.pk).exists()
        assert User.objects.count() == 0
        with pytest.raises(User.DoesNotExist):
            ada.refresh_from_db()
    with tenancy.bind(mercy):
        assert User.objects.get().pk == ada.pk


def test_a_row_of_one_tenant_is_not_written_while_another_is_bound(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = a_person()
    with tenancy.bind(lakeside):
        with pytest.raises(tenancy.WrongTenantError):
            ada.save()
        assert User.objects.filter(pk=ada.pk).update(is_active=False) == 0
    with tenancy.bind(mercy):
        assert User.objects.get().is_active


def test_related_access_does_not_escape(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = a_person()
        RoleAssignment.objects.create(user=ada, role="doctor")
    with tenancy.bind(lakeside):
        assert ada.role_assignments.count() == 0


def test_a_foreign_key_stays_in_its_tenant(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = a_person()
    with tenancy.bind(lakeside), pytest.raises(IntegrityError), transaction():
        RoleAssignment.objects.create(user_id=ada.pk, role="doctor")


def test_a_row_stays_in_its_tenant(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = a_person()
        with pytest.raises(Exception, match=r"tenant|row-level security"), transaction():
            User.objects.filter(pk=ada.pk).update(tenant_id=lakeside.id)


def test_nested_and_failing_binds_restore_the_former_tenant(mercy, lakeside):
    with tenancy.bind(mercy):
        with tenancy.bind(lakeside):
            assert tenancy.current() == lakeside
        assert tenancy.current() == mercy
        with pytest.raises(RuntimeError, match="on purpose"), tenancy.bind(lakeside):
            raise RuntimeError("on purpose")
        assert tenancy.current() == mercy
        a_person()
        assert User.objects.count() == 1
    assert tenancy.current_or_none() is None


async def test_work_in_another_thread_has_the_tenant_bound(mercy, lakeside):
    def make_and_count():
        a_person(f"{secrets.token_hex(4)}@mercy.example")
        return User.objects.count()

    counts = await asyncio.gather(
        *(database.run(tenant, make_and_count) for tenant in (mercy, lakeside) for _ in range(4))
    )
    assert max(counts) == 4
    assert tenancy.current_or_none() is None


def visible_people():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_user")
        return cursor.fetchone()[0]


@pytest.mark.postgres
class TestRawSQL:
    """What the managers cannot see, the database refuses."""

    def test_sees_the_bound_tenant_only(self, mercy, lakeside):
        with tenancy.bind(mercy):
            a_person()
            assert visible_people() == 1
            with tenancy.bind(lakeside):
                assert visible_people() == 0
            assert visible_people() == 1
        assert visible_people() == 0

    def test_a_connection_given_back_to_the_pool_sees_nothing(self, mercy):
        with tenancy.bind(mercy):
            a_person()
            assert visible_people() == 1
            raw = connection.connection
            pool = connection.pool  # type: ignore[attr-defined]
            connection.close()
            with pool.connection() as fresh:
                assert fresh.execute("SELECT current_setting('app.tenant', true)").fetchone() in (
                    ("",),
                    (None,),
                )
                assert fresh.execute("SELECT count(*) FROM accounts_user").fetchone() == (0,)
            assert visible_people() == 1, "a connection checked out while bound sees the tenant"
            assert raw is not None

    def test_a_failed_transaction_does_not_leave_the_inner_tenant(self, mercy, lakeside):
        with tenancy.bind(mercy):
            a_person()
            with pytest.raises(IntegrityError), django_transaction.atomic():  # noqa: SIM117
                with tenancy.bind(lakeside):
                    RoleAssignment.objects.bulk_create(
                        [RoleAssignment(user_id=uuid4(), role="doctor")]
                    )
                    connection.cursor().execute("SET CONSTRAINTS ALL IMMEDIATE")
            assert visible_people() == 1

    def test_a_row_of_another_tenant_cannot_be_inserted(self, mercy, lakeside):
        with tenancy.bind(mercy), pytest.raises(Exception, match="row-level security"):
            User.objects.bulk_create([User(tenant_id=lakeside.id, email="x@y.example", name="X")])

    def test_the_application_role_is_bound_by_the_policies(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
            assert cursor.fetchone() == (False, False)
            cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
            assert cursor.fetchone() == (0,)

    def test_the_owner_is_bound_too(self, mercy):
        with tenancy.bind(mercy):
            a_person()
        with connections["owner"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM accounts_user")
            assert cursor.fetchone() == (0,)
