"""The trail's tables, and what keeps them append-only on each database (A7, design D7)."""

from uuid import uuid4

from django.conf import settings
from django.db import migrations, models
from psycopg import sql

from authfi.crypto.fields import SealedJSONField
from authfi.lib.migrations import CURRENT_TENANT, ProtectTenantTables
from authfi.lib.tenancy import bound_id

AUDITOR = "authfi_auditor"

TABLES = """
CREATE TABLE audit_event (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    code text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL CONSTRAINT audit_event_outcome_known
        CHECK (outcome IN ('success', 'denied', 'failure')),
    actor_index text COLLATE "C" NOT NULL,
    patient_index text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    details bytea NOT NULL,
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    prev bytea NOT NULL CHECK (octet_length(prev) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, seq, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_event_at ON audit_event (tenant_id, at);
CREATE INDEX audit_event_actor ON audit_event (tenant_id, actor_index, at);
CREATE INDEX audit_event_patient ON audit_event (tenant_id, patient_index, at)
    WHERE patient_index <> '';
CREATE TABLE audit_event_default PARTITION OF audit_event DEFAULT;
"""

# Roles belong to the whole cluster: another database's migration may have made this one already,
# or be making it at this moment.
ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {auditor_text}) THEN
        BEGIN
            CREATE ROLE {auditor} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    FOR attempt IN 1..20 LOOP
        EXIT WHEN pg_has_role(current_user, {auditor_text}, 'USAGE');
        BEGIN
            GRANT {auditor} TO CURRENT_USER;
        EXCEPTION WHEN internal_error OR unique_violation THEN
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
END
$$;
"""

PROTECTION = """
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Each table of the trail by itself: a partition addressed directly has none of its parent's
-- row-level security, and statement triggers are not inherited.
CREATE FUNCTION audit_protect(name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', {schema_text}, name);
    EXECUTE format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', {schema_text}, name);
    EXECUTE format('CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()', {schema_text}, name);
END
$$;
REVOKE ALL ON FUNCTION audit_protect(text) FROM PUBLIC;

-- This month and the three after it. A month whose first events went to the default partition
-- stays there.
CREATE FUNCTION audit_make_partitions() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET lock_timeout = '5s' SET timezone = 'UTC' AS $$
DECLARE
    first timestamptz;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_make_partitions'));
    FOR ahead IN 0..3 LOOP
        first := date_trunc('month', now()) + make_interval(months => ahead);
        name := 'audit_event_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN to_regclass(format('%I.%I', {schema_text}, name)) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE %I.%I PARTITION OF audit_event FOR VALUES FROM (%L) TO (%L)',
                           {schema_text}, name, first, first + interval '1 month');
        EXCEPTION WHEN check_violation THEN
            CONTINUE;
        END;
        PERFORM audit_protect(name);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION audit_make_partitions() FROM PUBLIC;

SELECT audit_protect(name) FROM unnest(ARRAY['audit_event', 'audit_event_default']) AS name;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
SELECT audit_make_partitions();

ALTER TABLE audit_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_head FORCE ROW LEVEL SECURITY;
-- Room for a head's next versions on its own page, so that moving it touches no index.
ALTER TABLE audit_head SET (fillfactor = 20);
CREATE POLICY tenant_reads ON audit_event FOR SELECT USING (tenant_id = {current_tenant});
CREATE POLICY tenant_reads ON audit_head FOR SELECT USING (tenant_id = {current_tenant});
CREATE POLICY chain_writes ON audit_event FOR INSERT TO {auditor} WITH CHECK (true);
CREATE POLICY chain_writes ON audit_head TO {auditor} USING (true) WITH CHECK (true);
GRANT USAGE, CREATE ON SCHEMA {schema} TO {auditor};
GRANT INSERT ON audit_event TO {auditor};
GRANT SELECT, INSERT, UPDATE ON audit_head TO {auditor};
"""

# Its plans are made while a chain's head is one of few, and stay while they become many: they must
# look heads up by key whatever the statistics said. Both locks are taken in the order of tenants.
APPEND = r"""
CREATE FUNCTION audit_append(
    tenants uuid[], ids uuid[], ats timestamptz[], codes text[], outcomes text[], actors text[],
    patients text[], clients text[], requests text[], sealed bytea[], leaves bytea[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    label CONSTANT bytea := '\x000f'::bytea || convert_to('authfi-audit-v1', 'UTF8');
    total CONSTANT integer := cardinality(tenants);
    seqs bigint[] := array_fill(0::bigint, ARRAY[total]);
    prevs bytea[] := array_fill(''::bytea, ARRAY[total]);
    hashes bytea[] := array_fill(''::bytea, ARRAY[total]);
    chains uuid[];
    lasts bigint[];
    heads bytea[];
    item record;
    number integer := 0;
    prefix bytea;
    last bigint;
    head bytea;
BEGIN
    chains := ARRAY(SELECT DISTINCT tenant FROM unnest(tenants) AS tenant ORDER BY tenant);
    IF (SELECT count(*) FROM audit_head WHERE tenant_id = ANY(chains)) < cardinality(chains) THEN
        INSERT INTO audit_head (tenant_id, seq, hash)
            SELECT tenant, 0, decode(repeat('00', 32), 'hex') FROM unnest(chains) AS tenant
            ON CONFLICT DO NOTHING;
    END IF;
    SELECT array_agg(h.seq), array_agg(h.hash) INTO STRICT lasts, heads
        FROM (SELECT seq, hash FROM audit_head WHERE tenant_id = ANY(chains)
              ORDER BY tenant_id FOR UPDATE) AS h;
    FOR item IN
        SELECT t.tenant, t.leaf, t.place
        FROM unnest(tenants, leaves) WITH ORDINALITY AS t(tenant, leaf, place)
        ORDER BY t.tenant, t.place
    LOOP
        IF number = 0 OR item.tenant <> chains[number] THEN
            IF number > 0 THEN
                lasts[number] := last;
                heads[number] := head;
            END IF;
            number := number + 1;
            prefix := label || uuid_send(item.tenant);
            last := lasts[number];
            head := heads[number];
        END IF;
        last := last + 1;
        seqs[item.place] := last;
        prevs[item.place] := head;
        head := sha256(prefix || int8send(last) || head || item.leaf);
        hashes[item.place] := head;
    END LOOP;
    lasts[number] := last;
    heads[number] := head;
    UPDATE audit_head SET seq = lasts[array_position(chains, tenant_id)],
                          hash = heads[array_position(chains, tenant_id)]
        WHERE tenant_id = ANY(chains);
    INSERT INTO audit_event (tenant_id, id, at, code, outcome, actor_index, patient_index,
                             client_id, request_id, details, leaf, seq, prev, hash)
        SELECT * FROM unnest(tenants, ids, ats, codes, outcomes, actors, patients, clients,
                             requests, sealed, leaves, seqs, prevs, hashes);
END
$$;
"""

APPEND_SIGNATURE = (
    "audit_append(uuid[], uuid[], timestamptz[], text[], text[], text[], text[], text[], text[], "
    "bytea[], bytea[])"
)

OWNERSHIP = f"""
REVOKE ALL ON FUNCTION {APPEND_SIGNATURE} FROM PUBLIC;
ALTER FUNCTION {APPEND_SIGNATURE} OWNER TO {{auditor}};
REVOKE CREATE ON SCHEMA {{schema}} FROM {{auditor}};
"""

APP_RIGHTS = f"""
GRANT SELECT ON audit_event, audit_head TO {{app}};
GRANT EXECUTE ON FUNCTION audit_make_partitions() TO {{app}};
SET LOCAL ROLE {{auditor}};
GRANT EXECUTE ON FUNCTION {APPEND_SIGNATURE} TO {{app}};
RESET ROLE;
"""

# SQLite fires no DELETE trigger for a row that REPLACE pushes out, so each INSERT looks for rows in
# its way by every unique key, the hidden `rowid` among them.
SQLITE_TRIGGER = """
CREATE TRIGGER {name} BEFORE {verb} ON {table} WHEN {refused}
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
SQLITE_HEAD = "SELECT {column} FROM audit_head WHERE tenant_id = NEW.tenant_id"
SQLITE_EVENT = (
    "SELECT 1 FROM audit_event WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq "
    "AND hash = NEW.hash"
)
SQLITE_REFUSED = (
    ("audit_event_no_UPDATE", "UPDATE", "audit_event", "1"),
    ("audit_event_no_DELETE", "DELETE", "audit_event", "1"),
    (
        "audit_event_only_next",
        "INSERT",
        "audit_event",
        ("EXISTS (SELECT 1 FROM audit_event WHERE id = NEW.id OR rowid = NEW.rowid "
        "OR (tenant_id = NEW.tenant_id AND seq = NEW.seq)) "
        f"OR NEW.seq IS NOT COALESCE(({SQLITE_HEAD.format(column='seq')}), 0) + 1 "
        f"OR NEW.prev IS NOT COALESCE(({SQLITE_HEAD.format(column='hash')}), zeroblob(32))"),
    ),
    ("audit_checkpoint_no_UPDATE", "UPDATE", "audit_checkpoint", "1"),
    ("audit_checkpoint_no_DELETE", "DELETE", "audit_checkpoint", "1"),
    (
        "audit_checkpoint_only_new",
        "INSERT",
        "audit_checkpoint",
        ("EXISTS (SELECT 1 FROM audit_checkpoint WHERE id = NEW.id OR rowid = NEW.rowid "
        "OR (tenant_id = NEW.tenant_id AND size = NEW.size))"),
    ),
    ("audit_head_no_DELETE", "DELETE", "audit_head", "1"),
    (
        "audit_head_only_next",
        "UPDATE",
        "audit_head",
        ("NEW.tenant_id IS NOT OLD.tenant_id OR NEW.rowid IS NOT OLD.rowid "
        f"OR NEW.seq IS NOT OLD.seq + 1 OR NOT EXISTS ({SQLITE_EVENT} AND prev = OLD.hash)"),
    ),
    (
        "audit_head_only_first",
        "INSERT",
        "audit_head",
        ("EXISTS (SELECT 1 FROM audit_head WHERE tenant_id = NEW.tenant_id OR rowid = NEW.rowid) "
        f"OR NEW.seq IS NOT 1 OR NOT EXISTS ({SQLITE_EVENT})"),
    ),
)

UNDO = f"""
DROP FUNCTION {APPEND_SIGNATURE};
DROP TABLE audit_event;
DROP TRIGGER audit_append_only ON audit_checkpoint;
DROP FUNCTION audit_make_partitions();
DROP FUNCTION audit_protect(text);
DROP FUNCTION audit_refuse_change();
"""


def make_trail(apps, schema_editor):
    """The event table and everything that protects the trail."""
    if schema_editor.connection.vendor == "postgresql":
        run(schema_editor, TABLES, ROLE, PROTECTION, APPEND, OWNERSHIP)
        if settings.DATABASE_APP_ROLE:
            run(schema_editor, APP_RIGHTS)
        return
    schema_editor.create_model(apps.get_model("audit", "AuditEvent"))
    for name, verb, table, refused in SQLITE_REFUSED:
        schema_editor.execute(
            SQLITE_TRIGGER.format(name=name, verb=verb, table=table, refused=refused)
        )


def drop_trail(apps, schema_editor):
    """Undo `make_trail`; the role stays, since other databases may use it."""
    if schema_editor.connection.vendor == "postgresql":
        run(schema_editor, UNDO)
        return
    for name, *_rest in SQLITE_REFUSED:
        schema_editor.execute(f"DROP TRIGGER {name}")
    schema_editor.delete_model(apps.get_model("audit", "AuditEvent"))


def run(schema_editor, *scripts):
    """Run PostgreSQL scripts with this installation's names filled in."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = cursor.fetchone()[0]
        names = {
            "schema": sql.Identifier(schema),
            "schema_text": sql.Literal(schema),
            "auditor": sql.Identifier(AUDITOR),
            "auditor_text": sql.Literal(AUDITOR),
            "app": sql.Identifier(settings.DATABASE_APP_ROLE),
            "current_tenant": sql.SQL(CURRENT_TENANT),
        }
        for script in scripts:
            cursor.execute(sql.SQL(script).format(**names))


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={
                "db_table": "audit_head",
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("id", models.UUIDField(default=uuid4, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=bound_id, editable=False)),
                ("size", models.BigIntegerField()),
                ("root", models.BinaryField()),
                ("head", models.BinaryField()),
                ("frontier", models.BinaryField()),
                ("at", models.DateTimeField()),
                ("kid", models.CharField(max_length=64)),
                ("signature", models.BinaryField()),
            ],
            options={
                "db_table": "audit_checkpoint",
                "ordering": ["-size"],
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "size"), name="audit_checkpoint_once"),
                    models.CheckConstraint(condition=models.Q(("size__gt", 0)), name="audit_checkpoint_not_empty"),
                ],
            },
        ),
        ProtectTenantTables("AuditCheckpoint", rights="SELECT, INSERT"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="AuditEvent",
                    fields=[
                        ("id", models.UUIDField(default=uuid4, editable=False, primary_key=True, serialize=False)),
                        ("tenant_id", models.UUIDField(default=bound_id, editable=False)),
                        ("seq", models.BigIntegerField()),
                        ("at", models.DateTimeField()),
                        ("code", models.CharField(max_length=64)),
                        ("outcome", models.CharField(choices=[("success", "success"), ("denied", "denied"), ("failure", "failure")], max_length=8)),
                        ("actor_index", models.CharField(max_length=64)),
                        ("patient_index", models.CharField(max_length=64)),
                        ("client_id", models.CharField(max_length=255)),
                        ("request_id", models.CharField(max_length=64)),
                        ("details", SealedJSONField()),
                        ("leaf", models.BinaryField()),
                        ("prev", models.BinaryField()),
                        ("hash", models.BinaryField()),
                    ],
                    options={
                        "db_table": "audit_event",
                        "ordering": ["-seq"],
                        "abstract": False,
                        "base_manager_name": "objects",
                        "default_manager_name": "objects",
                        "indexes": [
                            models.Index(fields=["tenant_id", "at"], name="audit_event_at"),
                            models.Index(fields=["tenant_id", "actor_index", "at"], name="audit_event_actor"),
                            models.Index(condition=models.Q(("patient_index", ""), _negated=True), fields=["tenant_id", "patient_index", "at"], name="audit_event_patient"),
                        ],
                        "constraints": [
                            models.UniqueConstraint(fields=("tenant_id", "seq"), name="audit_event_seq_once"),
                            models.CheckConstraint(condition=models.Q(("outcome__in", ["success", "denied", "failure"])), name="audit_event_outcome_known"),
                        ],
                    },
                ),
            ],
        ),
        migrations.RunPython(make_trail, drop_trail),
    ]
