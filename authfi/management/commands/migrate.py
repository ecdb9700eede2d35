"""`migrate`, as the role that owns the tables (design D2)."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.core.management.commands import migrate
from django.db import connections


class Command(migrate.Command):
    """Django's own command, on the owner's connection, then the application role's rights."""

    def add_arguments(self, parser: CommandParser) -> None:
        """The owner's connection is the default."""
        super().add_arguments(parser)
        parser.set_defaults(database=settings.MIGRATION_DATABASE)

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate."""
        connection = connections[options["database"]]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                # A table is rebuilt by drop and rename, while triggers of others still name it.
                cursor.execute("PRAGMA legacy_alter_table = ON")
        super().handle(*args, **options)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql" and settings.DATABASE_APP_ROLE:
                for statement in _application_rights(settings.DATABASE_APP_ROLE):
                    cursor.execute(statement)


# Partitions are read through their parent, whose policy they do not have.
GRANT_READING = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO "{role}"', name);
    END LOOP;
END
$$
"""


def _application_rights(role: str) -> tuple[str, ...]:
    """Reading is for every table, under its policy; tenant tables grant more (lib.migrations)."""
    return (
        f'GRANT USAGE ON SCHEMA public TO "{role}"',
        GRANT_READING.format(role=role),
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"',
        f'GRANT INSERT, UPDATE, DELETE ON "tenants_tenant" TO "{role}"',
    )
