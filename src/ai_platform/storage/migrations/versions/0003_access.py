"""API keys: what is kept of each is a hash, and what it may do.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEYS = """
CREATE TABLE api_keys (
    id text PRIMARY KEY CHECK (id ~ '^[0-9A-Za-z]{8}$'),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    owner text NOT NULL CHECK (owner ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$'),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    models text[],
    rows_per_second double precision CHECK (rows_per_second > 0),
    burst_rows int CHECK (burst_rows > 0),
    waiting_jobs int CHECK (waiting_jobs > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    rotated_from text REFERENCES api_keys,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    CONSTRAINT a_revocation_has_an_author CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE FUNCTION guard_api_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - '{expires_at,last_used_at,revoked_at,revoked_by}'::text[]
            <> to_jsonb(OLD) - '{expires_at,last_used_at,revoked_at,revoked_by}'::text[]
            OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
            OR (OLD.expires_at IS NOT NULL AND (NEW.expires_at IS NULL OR NEW.expires_at > OLD.expires_at)) THEN
        RAISE EXCEPTION 'key % only ever loses: what it may do never changes, and it never lives longer', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER api_keys_only_lose BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION guard_api_key();
"""


def upgrade() -> None:
    """Add them."""
    op.execute(KEYS)


def downgrade() -> None:
    """Forget all keys."""
    op.execute("DROP TABLE api_keys; DROP FUNCTION guard_api_key")
