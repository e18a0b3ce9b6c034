"""Models, versions, aliases and artifacts; jobs with their state machine; workers that send heartbeats.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

REGISTRY = """
CREATE TABLE artifacts (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    size bigint NOT NULL CHECK (size >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE artifact_chunks (
    sha256 bytea NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    number int NOT NULL CHECK (number >= 0),
    bytes bytea NOT NULL,
    PRIMARY KEY (sha256, number)
);
-- Model files hardly compress, and are always read whole.
ALTER TABLE artifact_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE models (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE model_versions (
    model text NOT NULL REFERENCES models,
    version int NOT NULL CHECK (version > 0),
    sha256 bytea NOT NULL REFERENCES artifacts,
    format text NOT NULL,
    manifest bytea NOT NULL,
    manifest_signature bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (model, version)
);
CREATE TABLE aliases (
    model text NOT NULL,
    alias text NOT NULL CHECK (alias ~ '^[a-z][a-z0-9_-]{0,62}$'),
    version int NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, version) REFERENCES model_versions
);
CREATE FUNCTION refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of model % is immutable', OLD.version, OLD.model;
END $$;
CREATE TRIGGER model_versions_are_immutable BEFORE UPDATE ON model_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_version_change();
"""

JOBS = """
CREATE TABLE workers (
    name text PRIMARY KEY,
    host text NOT NULL,
    pid int NOT NULL,
    process_started double precision NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    model text NOT NULL,
    version int NOT NULL,
    input json NOT NULL,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    attempt int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL,
    hard_limit_seconds double precision NOT NULL CHECK (hard_limit_seconds > 0),
    isolated boolean NOT NULL DEFAULT false,
    run_after timestamptz NOT NULL DEFAULT now(),
    notified_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    lease_owner text,
    lease_until timestamptz,
    result json,
    error_code text,
    error_detail text,
    retry_of uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    FOREIGN KEY (model, version) REFERENCES model_versions,
    CONSTRAINT attempts_are_bounded CHECK (attempt BETWEEN 0 AND max_attempts),
    CONSTRAINT running_means_leased CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT a_lease_has_an_owner CHECK ((lease_until IS NULL) = (lease_owner IS NULL)),
    CONSTRAINT final_means_finished CHECK ((state IN ('queued', 'running')) = (finished_at IS NULL)),
    CONSTRAINT success_means_result CHECK ((state = 'succeeded') = (result IS NOT NULL)),
    CONSTRAINT failure_means_code CHECK ((state = 'failed') = (error_code IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX jobs_queued ON jobs (run_after) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (lease_owner) WHERE state = 'running';
CREATE INDEX jobs_of_owner ON jobs (owner, id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE state = 'queued' AND expires_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    job_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE FUNCTION guard_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.finished_at IS NOT NULL THEN
        RAISE EXCEPTION 'job % is % and final', OLD.id, OLD.state USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.attempt < OLD.attempt OR NEW.id <> OLD.id OR NEW.owner <> OLD.owner
            OR NEW.model <> OLD.model OR NEW.version <> OLD.version THEN
        RAISE EXCEPTION 'job %: its attempts only grow, and what it is never changes', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
            ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'expired'),
            ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'), ('running', 'queued')) THEN
        RAISE EXCEPTION 'job % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_keep_their_promise BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION guard_job();
"""


def upgrade() -> None:
    """Make everything."""
    op.execute(REGISTRY)
    op.execute(JOBS)


def downgrade() -> None:
    """Drop everything."""
    op.execute(
        "DROP TABLE idempotency_keys, jobs, workers, aliases, model_versions, models, artifact_chunks, artifacts"
    )
    op.execute("DROP FUNCTION guard_job, refuse_version_change")
