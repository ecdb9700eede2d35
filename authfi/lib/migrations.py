"""What a migration does for each tenant table: row-level security, composite keys, rights (D2)."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant', true), '')::uuid)"


class ProtectTenantTables(Operation):
    """Protect the named models' tables: the last operation of a migration that touches them.

    PostgreSQL: RLS with FORCE, foreign keys that carry the tenant in place of those that do not,
    rights of the application role.
    Where rows are found by a handle only, `is_listed` is False: with no index by tenant the
    database cannot take a whole tenant's for the way to one row, while it has no statistics yet.
    SQLite: triggers that do the foreign keys' work. SQLite loses a table's triggers when a later
    migration rebuilds the table, so such a migration names the model here again.
    """

    reversible = True

    def __init__(
        self,
        *model_names: str,
        rights: str = "SELECT, INSERT, UPDATE, DELETE",
        is_listed: bool = True,
    ) -> None:
        self.model_names = model_names
        self.rights = rights
        self.is_listed = is_listed

    def deconstruct(self) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """For the migration writer."""
        options = {"rights": self.rights, "is_listed": self.is_listed}
        return type(self).__name__, self.model_names, options

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing of it is visible to models."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Apply the protection; safe to repeat."""
        protected = [to_state.apps.get_model(app_label, name) for name in self.model_names]
        for model in protected:
            for statement in self._table_statements(schema_editor, model):
                schema_editor.execute(statement)
        for model in protected:
            for statement in _foreign_key_statements(schema_editor, model):
                schema_editor.execute(statement)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Nothing to undo: protection goes with its table."""

    def describe(self) -> str:
        """For `migrate --plan`."""
        return f"Protect tenant tables of {', '.join(self.model_names)}"

    def _table_statements(
        self, schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model]
    ) -> Iterator[str]:
        table = model._meta.db_table
        if self.is_listed:
            yield _key_with_tenant(model)
        if schema_editor.connection.vendor == "postgresql":
            yield from row_level_security(table)
            yield from grant(table, self.rights)
        else:
            yield f'DROP TRIGGER IF EXISTS "{table}_keeps_tenant"'
            yield (
                f'CREATE TRIGGER "{table}_keeps_tenant" BEFORE UPDATE OF tenant_id ON "{table}" '
                "WHEN NEW.tenant_id IS NOT OLD.tenant_id "
                "BEGIN SELECT RAISE(ABORT, 'a row stays in its tenant'); END"
            )


def row_level_security(table: str) -> Iterator[str]:
    """PostgreSQL statements: only rows of the session's tenant, for the owner as well."""
    yield f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY'
    yield f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY'
    yield f'DROP POLICY IF EXISTS tenant_rows ON "{table}"'
    yield (
        f'CREATE POLICY tenant_rows ON "{table}" USING (tenant_id = {CURRENT_TENANT}) '
        f"WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )


def grant(table: str, rights: str) -> Iterator[str]:
    """PostgreSQL statement: the application role's rights, where it is apart from the owner."""
    role = settings.DATABASE_APP_ROLE
    if role:
        yield f'GRANT {rights} ON "{table}" TO "{role}"'


def _foreign_key_statements(
    schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model]
) -> Iterator[str]:
    for field in model._meta.local_fields:
        remote: Any = field.remote_field and field.remote_field.model
        if remote and any(column.name == "tenant_id" for column in remote._meta.local_fields):
            if schema_editor.connection.vendor == "postgresql":
                yield from _composite_key(model._meta.db_table, str(field.column), remote)
                # What it implies need not be looked up, and locked, once more. Django makes its
                # own keys at the end of the migration.
                schema_editor.deferred_sql.append(_drop_plain_key(schema_editor, model, field))
            else:
                yield from _same_tenant_triggers(model._meta.db_table, str(field.column), remote)


def _key_with_tenant(model: type[models.Model]) -> str:
    table, pk = model._meta.db_table, model._meta.pk.column
    return f'CREATE UNIQUE INDEX IF NOT EXISTS "{table}_tenant_pk" ON "{table}" (tenant_id, "{pk}")'


def _composite_key(table: str, column: str, remote: type[models.Model]) -> Iterator[str]:
    name = f"{table}_{column}_tenant"[:63]
    yield _key_with_tenant(remote)
    yield f'ALTER TABLE "{table}" DROP CONSTRAINT IF EXISTS "{name}"'
    yield (
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (tenant_id, "{column}") '
        f'REFERENCES "{remote._meta.db_table}" (tenant_id, "{remote._meta.pk.column}") '
        "DEFERRABLE INITIALLY DEFERRED"
    )


def _drop_plain_key(
    schema_editor: Any, model: type[models.Model], field: "models.Field[Any, Any]"
) -> str:
    name = schema_editor._fk_constraint_name(model, field, "_fk_%(to_table)s_%(to_column)s")
    return f'ALTER TABLE "{model._meta.db_table}" DROP CONSTRAINT IF EXISTS {name}'


def _same_tenant_triggers(table: str, column: str, remote: type[models.Model]) -> Iterator[str]:
    for event, when in (("insert", "INSERT"), ("update", f'UPDATE OF "{column}"')):
        name = f"{table}_{column}_{event}_tenant"
        yield f'DROP TRIGGER IF EXISTS "{name}"'
        yield (
            f'CREATE TRIGGER "{name}" BEFORE {when} ON "{table}" WHEN NEW."{column}" IS NOT NULL '
            f'AND NOT EXISTS (SELECT 1 FROM "{remote._meta.db_table}" WHERE '
            f'"{remote._meta.pk.column}" = NEW."{column}" AND tenant_id = NEW.tenant_id) '
            "BEGIN SELECT RAISE(ABORT, 'a reference stays in its tenant'); END"
        )
