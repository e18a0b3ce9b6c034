"""Group roles with the least rights that each part of the platform needs.

Roles belong to the whole server, and not every owner of a database may make them. So a function makes those that are
missing, if it may, and grants to those that are there; `SELECT grant_platform_roles()` repeats it at any time.

Revision ID: 0004
"""

from alembic import op
from sqlalchemy import text

from ai_platform.telemetry import logger

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

GRANTS = """
CREATE FUNCTION grant_platform_roles() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    part text;
    absent text[] := '{}';
    there text[] := '{}';
BEGIN
    FOREACH part IN ARRAY ARRAY['aip_api', 'aip_worker', 'aip_readonly', 'aip_backup'] LOOP
        BEGIN
            IF to_regrole(part) IS NULL THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', part);
            END IF;
            there := there || part;
        EXCEPTION
            -- Made for another database at the same moment.
            WHEN duplicate_object OR unique_violation THEN there := there || part;
            WHEN insufficient_privilege THEN absent := absent || part;
        END;
        CONTINUE WHEN NOT part = ANY(there);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', part);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', part);
    END LOOP;

    IF 'aip_api' = ANY(there) THEN
        -- Accepts, reads and cancels jobs; publishes models; knows keys. It deletes no job and rewrites no record.
        GRANT SELECT, INSERT, UPDATE (state, finished_at, lease_owner, lease_until) ON jobs TO aip_api;
        GRANT SELECT, INSERT, UPDATE (request_hash, job_id, expires_at) ON idempotency_keys TO aip_api;
        GRANT SELECT ON workers TO aip_api;
        GRANT SELECT, INSERT, UPDATE (created_at) ON models TO aip_api;
        GRANT SELECT, INSERT, UPDATE (deleted_at, deleted_by) ON model_versions TO aip_api;
        GRANT SELECT, INSERT, UPDATE, DELETE ON aliases, alias_targets TO aip_api;
        GRANT SELECT, INSERT, UPDATE (size, created_at) ON artifacts TO aip_api;
        GRANT SELECT, INSERT ON artifact_chunks TO aip_api;
        GRANT SELECT, INSERT ON audit_log TO aip_api;
        GRANT SELECT, INSERT, UPDATE (expires_at, last_used_at, revoked_at, revoked_by) ON api_keys TO aip_api;
    END IF;

    IF 'aip_worker' = ANY(there) THEN
        -- Moves jobs on and, as the sweeper beside it, deletes old ones and unused files. It sees no key.
        GRANT SELECT, DELETE, UPDATE (state, attempt, isolated, run_after, notified_at, lease_owner, lease_until,
            result, error_code, error_detail, started_at, finished_at) ON jobs TO aip_worker;
        GRANT SELECT, DELETE, UPDATE (expires_at) ON idempotency_keys TO aip_worker;
        GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO aip_worker;
        GRANT SELECT ON models, model_versions, aliases, alias_targets, artifact_chunks TO aip_worker;
        GRANT SELECT, DELETE ON artifacts TO aip_worker;
    END IF;

    IF 'aip_readonly' = ANY(there) THEN
        -- For dashboards: everything but what callers sent, what they got, model files and keys.
        GRANT SELECT (id, owner, model, version, state, attempt, max_attempts, hard_limit_seconds, isolated, run_after,
            notified_at, expires_at, lease_owner, lease_until, error_code, retry_of, created_at, started_at,
            finished_at)
            ON jobs TO aip_readonly;
        GRANT SELECT ON workers, models, model_versions, aliases, alias_targets, artifacts, audit_log, alembic_version
            TO aip_readonly;
    END IF;

    IF 'aip_backup' = ANY(there) THEN
        -- What pg_dump reads, also of tables that are still to come.
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO aip_backup;
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO aip_backup;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO aip_backup;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO aip_backup;
    END IF;
    RETURN absent;
END $$;
REVOKE EXECUTE ON FUNCTION grant_platform_roles() FROM PUBLIC;
"""

REVOKE = """
DO $$
DECLARE
    part text;
BEGIN
    FOREACH part IN ARRAY ARRAY['aip_api', 'aip_worker', 'aip_readonly', 'aip_backup'] LOOP
        CONTINUE WHEN to_regrole(part) IS NULL;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', part);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM %I', part);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM %I', part);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM %I', part);
        EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', part);
    END LOOP;
END $$;
DROP FUNCTION grant_platform_roles;
"""


def upgrade() -> None:
    """Make them and grant, as far as the user who migrates may."""
    op.execute(GRANTS)
    absent = op.get_bind().execute(text("SELECT grant_platform_roles()")).scalar_one()
    if absent:
        logger(__name__).warning(
            "roles not made: this user may not; see docs/operations/database-roles.md", absent=" ".join(absent)
        )


def downgrade() -> None:
    """Take the rights away; the roles stay, because other databases of the server may use them."""
    op.execute(REVOKE)
