"""Compiled forms, weighted aliases, deleted versions; an append-only record of who did what.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

VERSIONS = """
-- A deleted version keeps its row, so that its number is never given out again and old jobs still name it.
ALTER TABLE model_versions
    DROP CONSTRAINT model_versions_sha256_fkey,
    ADD COLUMN compiled_sha256 bytea CHECK (length(compiled_sha256) = 32),
    ADD COLUMN compiled_size bigint CHECK (compiled_size > 0),
    ADD COLUMN validation json NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN deleted_by text,
    ADD CONSTRAINT a_compiled_form_has_a_size CHECK ((compiled_sha256 IS NULL) = (compiled_size IS NULL)),
    ADD CONSTRAINT a_deletion_has_an_author CHECK ((deleted_at IS NULL) = (deleted_by IS NULL));
CREATE INDEX model_versions_sha256 ON model_versions (sha256);
CREATE INDEX model_versions_compiled ON model_versions (compiled_sha256) WHERE compiled_sha256 IS NOT NULL;
CREATE INDEX jobs_pinned ON jobs (model, version) WHERE state IN ('queued', 'running');

CREATE OR REPLACE FUNCTION refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL
            AND to_jsonb(NEW) - 'deleted_at' - 'deleted_by' = to_jsonb(OLD) - 'deleted_at' - 'deleted_by' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'version % of model % is immutable', OLD.version, OLD.model;
END $$;
"""

ALIASES = """
CREATE TABLE alias_targets (
    model text NOT NULL,
    alias text NOT NULL CHECK (alias ~ '^[a-z][a-z0-9_-]{0,62}$'),
    version int NOT NULL,
    weight int NOT NULL DEFAULT 100 CHECK (weight BETWEEN 1 AND 1000),
    PRIMARY KEY (model, alias, version),
    FOREIGN KEY (model, version) REFERENCES model_versions
);
INSERT INTO alias_targets (model, alias, version) SELECT model, alias, version FROM aliases;
-- What an alias named before its last change: `rollback` goes there.
ALTER TABLE aliases DROP COLUMN version, ADD COLUMN previous json, ADD COLUMN updated_by text NOT NULL DEFAULT '',
    ADD FOREIGN KEY (model) REFERENCES models;
ALTER TABLE alias_targets ADD FOREIGN KEY (model, alias) REFERENCES aliases ON DELETE CASCADE;
"""

AUDIT = """
CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('done', 'refused')),
    detail json NOT NULL DEFAULT '{}',
    request_id text
);
CREATE INDEX audit_log_subject ON audit_log (subject, id);
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_log_is_not_truncated BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
"""


def upgrade() -> None:
    """Add them."""
    op.execute(VERSIONS)
    op.execute(ALIASES)
    op.execute(AUDIT)


def downgrade() -> None:
    """Take them away; an alias keeps its heaviest version, and compiled forms and deletions are forgotten."""
    op.execute("DROP TABLE audit_log; DROP FUNCTION refuse_audit_change")
    op.execute("""
        ALTER TABLE aliases ADD COLUMN version int, DROP COLUMN previous, DROP COLUMN updated_by;
        UPDATE aliases SET version = (SELECT version FROM alias_targets t
            WHERE t.model = aliases.model AND t.alias = aliases.alias ORDER BY weight DESC, version DESC LIMIT 1);
        DELETE FROM aliases WHERE version IS NULL;
        ALTER TABLE aliases ALTER COLUMN version SET NOT NULL,
            ADD FOREIGN KEY (model, version) REFERENCES model_versions;
        DROP TABLE alias_targets;
    """)
    op.execute("""
        DROP INDEX jobs_pinned;
        ALTER TABLE model_versions DROP COLUMN compiled_sha256, DROP COLUMN compiled_size, DROP COLUMN validation,
            DROP COLUMN deleted_at, DROP COLUMN deleted_by;
    """)
