"""What each process serves: whoever publishes waits for it, and a version that fails is seen from everywhere.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SERVING = """
-- Written by each process once a second; unlogged, because a crash of PostgreSQL leaves nothing of it true.
CREATE UNLOGGED TABLE serving_processes (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('api', 'worker')),
    -- The moment up to which it has acted on all changes of aliases.
    looked_at timestamptz,
    written_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE serving_versions (
    process text NOT NULL REFERENCES serving_processes (name) ON DELETE CASCADE,
    model text NOT NULL,
    version int NOT NULL,
    state text NOT NULL CHECK (state IN ('loading', 'loaded', 'failed')),
    why text,
    failures int NOT NULL,
    failed_calls int NOT NULL,
    next_try_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (process, model, version)
);
CREATE INDEX serving_versions_of_model ON serving_versions (model, version);
"""

GRANTS = """
ALTER FUNCTION grant_platform_roles() RENAME TO grant_platform_roles_0005;
CREATE FUNCTION grant_platform_roles() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    absent text[] := grant_platform_roles_0005();
BEGIN
    IF NOT 'aip_api' = ANY(absent) THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON serving_processes, serving_versions TO aip_api;
    END IF;
    IF NOT 'aip_worker' = ANY(absent) THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON serving_processes, serving_versions TO aip_worker;
    END IF;
    IF NOT 'aip_readonly' = ANY(absent) THEN
        GRANT SELECT ON serving_processes, serving_versions TO aip_readonly;
    END IF;
    RETURN absent;
END $$;
REVOKE EXECUTE ON FUNCTION grant_platform_roles() FROM PUBLIC;
SELECT grant_platform_roles();
"""


def upgrade() -> None:
    """Add it, and grant."""
    op.execute(SERVING)
    op.execute(GRANTS)


def downgrade() -> None:
    """Forget it."""
    op.execute("""
        DROP TABLE serving_versions, serving_processes;
        DROP FUNCTION grant_platform_roles;
        ALTER FUNCTION grant_platform_roles_0005() RENAME TO grant_platform_roles;
    """)
