"""No table of tenant data without its wall: read from the database's own catalogue."""

import pytest
from django.apps import apps
from django.db import connection

from authfi.lib.models import TenantModel

# Tables that hold nothing of a tenant, each with its reason.
WITHOUT_TENANT = {
    "tenants_tenant": "the directory, read before a tenant is bound",
    "django_migrations": "which migrations ran",
    "django_content_type": "names of models",
    "auth_permission": "names of Django's own permissions; unused",
    "auth_group": "Django's own groups; unused",
    "auth_group_permissions": "Django's own groups; unused",
}


def tenant_models():
    return [
        model
        for model in apps.get_models()
        if any(field.name == "tenant_id" for field in model._meta.local_fields)
    ]


@pytest.mark.spec("T1")
@pytest.mark.postgres
def test_every_table_has_row_level_security_or_a_reason():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity, "
            "(SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid) > 0 "
            "FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
        tables = {name: (forced, has_policy) for name, forced, has_policy in cursor.fetchall()}
    open_tables = {
        name
        for name, (forced, has_policy) in tables.items()
        if not (forced and (has_policy or name.startswith("audit_event_")))
    }
    assert open_tables == set(WITHOUT_TENANT)


@pytest.mark.spec("T4")
@pytest.mark.postgres
def test_every_reference_between_tenant_tables_carries_the_tenant():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text, cardinality(conkey), "
            "(SELECT array_agg(attname::text) FROM pg_attribute "
            " WHERE attrelid = conrelid AND attnum = ANY(conkey)) "
            "FROM pg_constraint WHERE contype = 'f'"
        )
        composite = {
            (table, next(iter(set(columns) - {"tenant_id"})))
            for table, _, size, columns in cursor.fetchall()
            if size == 2 and "tenant_id" in columns
        }
    names = {model._meta.db_table for model in tenant_models()}
    expected = {
        (model._meta.db_table, field.column)
        for model in tenant_models()
        for field in model._meta.local_fields
        if field.remote_field and field.remote_field.model._meta.db_table in names
    }
    assert expected <= composite
    assert expected


def test_every_tenant_model_is_read_through_a_bound_manager():
    for model in tenant_models():
        for manager in (model._default_manager, model._base_manager):
            assert type(manager).get_queryset.__module__ == "authfi.lib.models", model


def test_tenant_models_have_uuid_keys_but_for_the_toolkits():
    integers = {
        model._meta.label
        for model in tenant_models()
        if not issubclass(model, TenantModel) and model._meta.pk.get_internal_type() != "UUIDField"
    }
    assert integers == {
        "accounts.TOTPDevice",
        "smart.AccessToken",
        "smart.IDToken",
        "smart.DeviceGrant",
    }
