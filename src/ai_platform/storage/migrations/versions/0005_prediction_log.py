"""The prediction log: a sample of the synchronous predictions, kept for some days.

Its ids are of version 7, so the primary key is in the order of time: new rows go to its one end and old ones leave from
the other, and there is no need for partitions, which somebody would have to make in time.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LOG = """
-- No foreign key: a version is looked up once when it is loaded, not for each of its predictions.
CREATE TABLE prediction_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    model text NOT NULL,
    version int NOT NULL,
    owner text NOT NULL,
    key_id text,
    request_id text,
    rows int NOT NULL CHECK (rows > 0),
    seconds double precision NOT NULL,
    cache text,
    code text,
    sample double precision NOT NULL CHECK (sample > 0 AND sample <= 1),
    input json,
    output json,
    CONSTRAINT a_failure_has_no_output CHECK (code IS NULL OR output IS NULL)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX prediction_log_of_model ON prediction_log (model, at);
"""

# The function of 0004 goes on to grant all that stood then; what it takes from the tables of later migrations is given
# back here.
GRANTS = """
ALTER FUNCTION grant_platform_roles() RENAME TO grant_platform_roles_0004;
CREATE FUNCTION grant_platform_roles() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    absent text[] := grant_platform_roles_0004();
BEGIN
    IF NOT 'aip_api' = ANY(absent) THEN
        GRANT INSERT ON prediction_log TO aip_api;
    END IF;
    IF NOT 'aip_worker' = ANY(absent) THEN
        -- The sweeper deletes by id, and reads nothing else.
        GRANT SELECT (id), DELETE ON prediction_log TO aip_worker;
    END IF;
    IF NOT 'aip_readonly' = ANY(absent) THEN
        -- Everything but what callers sent and what they got.
        GRANT SELECT (id, at, model, version, owner, key_id, request_id, rows, seconds, cache, code, sample)
            ON prediction_log TO aip_readonly;
    END IF;
    RETURN absent;
END $$;
REVOKE EXECUTE ON FUNCTION grant_platform_roles() FROM PUBLIC;
SELECT grant_platform_roles();
"""


def upgrade() -> None:
    """Add it, and grant; 0004 has said which roles are not there."""
    op.execute(LOG)
    op.execute(GRANTS)


def downgrade() -> None:
    """Forget what was logged."""
    op.execute("""
        DROP TABLE prediction_log;
        DROP FUNCTION grant_platform_roles;
        ALTER FUNCTION grant_platform_roles_0004() RENAME TO grant_platform_roles;
    """)
