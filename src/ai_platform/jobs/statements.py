"""Every statement that changes a job's state, and the ones that read it. Nothing else in the tree changes a state.

All clocks are the database's. States: queued → running → succeeded | failed, queued | running → cancelled,
queued → expired, running → queued when a lease dies.
"""

# Accept: one statement for a whole group. A key that is still kept makes its row stay out of `jobs`; the caller then
# looks up which job the key belongs to. Repeating the statement after a lost answer inserts nothing twice.
ACCEPT = """
WITH incoming AS (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(owners)s::text[], %(models)s::text[], %(versions)s::int[], %(inputs)s::text[],
        %(keys)s::text[], %(hashes)s::bytea[], %(hard_limits)s::float[], %(lifetimes)s::float[], %(retries_of)s::uuid[]
    ) AS t (id, owner, model, version, input, key, request_hash, hard_limit, lifetime, retry_of)
), keyed AS (
    INSERT INTO idempotency_keys AS kept (owner, key, request_hash, job_id, expires_at)
    SELECT owner, key, request_hash, id, now() + %(key_lifetime)s FROM incoming WHERE key IS NOT NULL
    ON CONFLICT (owner, key) DO UPDATE
        SET request_hash = excluded.request_hash, job_id = excluded.job_id, expires_at = excluded.expires_at
        WHERE kept.expires_at <= now()
    RETURNING job_id
)
INSERT INTO jobs (id, owner, model, version, input, max_attempts, hard_limit_seconds, expires_at, retry_of)
SELECT id, owner, model, version, input::json, %(max_attempts)s, hard_limit,
    now() + lifetime * interval '1 second', retry_of
FROM incoming WHERE key IS NULL OR id IN (SELECT job_id FROM keyed)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""

KEPT_KEYS = """
SELECT kept.owner, kept.key, kept.request_hash, kept.job_id, jobs.state, jobs.model, jobs.version
FROM idempotency_keys kept JOIN jobs ON jobs.id = kept.job_id
WHERE (kept.owner, kept.key) IN (SELECT * FROM unnest(%(owners)s::text[], %(keys)s::text[]))
"""

# Claim: the worker's row is written too, so that a lease never names a worker that the sweeper has not heard of.
# Rows that another worker is claiming are skipped: no deadlock, no waiting. One claim takes jobs of one version, which
# are computed together: the time limit of each counts from the claim. What is claimed by itself is marked so: should
# it run past its time limit, no other row can have been the cause.
_CLAIM = """
WITH me AS (
    INSERT INTO workers (name, host, pid, process_started) VALUES (%(worker)s, %(host)s, %(pid)s, %(process_started)s)
    ON CONFLICT (name) DO UPDATE SET heartbeat_at = now()
), {chosen}
UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_owner = %(worker)s,
    isolated = isolated OR (SELECT count(*) FROM chosen) = 1,
    lease_until = now() + hard_limit_seconds * interval '1 second', started_at = coalesce(started_at, now())
FROM chosen WHERE jobs.id = chosen.id
RETURNING jobs.id, jobs.model, jobs.version, jobs.input::text AS input, jobs.attempt, jobs.hard_limit_seconds
"""
_DUE = """jobs.state = 'queued' AND jobs.run_after <= now() AND jobs.attempt < jobs.max_attempts
        AND (jobs.expires_at IS NULL OR jobs.expires_at > now())"""
# A row whose last attempt lost its worker runs by itself, so that it cannot cost its neighbours their attempts.
CLAIM_NAMED = _CLAIM.format(
    chosen=f"""chosen AS (
    SELECT id FROM jobs WHERE id = ANY(%(ids)s::uuid[]) AND (NOT isolated OR cardinality(%(ids)s::uuid[]) = 1)
        AND {_DUE}
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)"""
)
# What waits longest, of whatever model, and more of its version: any notification moves the whole queue.
CLAIM_OLDEST = _CLAIM.format(
    chosen=f"""oldest AS (
    SELECT id, model, version, isolated FROM jobs WHERE {_DUE} ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED
), chosen AS (
    SELECT jobs.id FROM jobs, oldest
    WHERE jobs.model = oldest.model AND jobs.version = oldest.version AND {_DUE}
        AND CASE WHEN oldest.isolated THEN jobs.id = oldest.id ELSE NOT jobs.isolated END
    ORDER BY jobs.run_after, jobs.id LIMIT %(limit)s FOR UPDATE OF jobs SKIP LOCKED
)"""
)

# Finish: fenced by the attempt, so that a worker whose lease died writes nothing; safe to repeat.
FINISH = """
UPDATE jobs SET state = done.state, result = done.result::json, error_code = done.error_code,
    error_detail = done.error_detail, finished_at = now(), lease_owner = NULL, lease_until = NULL
FROM unnest(
    %(ids)s::uuid[], %(attempts)s::int[], %(states)s::text[], %(results)s::text[],
    %(codes)s::text[], %(details)s::text[]
) AS done (id, attempt, state, result, error_code, error_detail)
WHERE jobs.id = done.id AND jobs.attempt = done.attempt AND jobs.state = 'running'
RETURNING jobs.id
"""

# Release: a worker gives back what it could not start (its model cannot be fetched now); fenced like a finish.
RELEASE = """
UPDATE jobs SET
    state = CASE WHEN jobs.attempt >= max_attempts THEN 'failed' ELSE 'queued' END,
    error_code = CASE WHEN jobs.attempt >= max_attempts THEN 'model_unavailable' END,
    error_detail = CASE WHEN jobs.attempt >= max_attempts THEN 'the model could not be fetched' END,
    finished_at = CASE WHEN jobs.attempt >= max_attempts THEN now() END,
    lease_owner = NULL, lease_until = NULL, run_after = now() + interval '1 second', notified_at = to_timestamp(0)
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS held (id, attempt)
WHERE jobs.id = held.id AND jobs.attempt = held.attempt AND jobs.state = 'running'
RETURNING jobs.id
"""

# Release all: a worker that may hold jobs it does not know of (the answer to its claim was lost) releases them all.
RELEASE_ALL = """
UPDATE jobs SET
    state = CASE WHEN attempt >= max_attempts THEN 'failed' ELSE 'queued' END,
    error_code = CASE WHEN attempt >= max_attempts THEN 'worker_lost' END,
    error_detail = CASE WHEN attempt >= max_attempts THEN 'the worker lost its connection to the database' END,
    finished_at = CASE WHEN attempt >= max_attempts THEN now() END,
    lease_owner = NULL, lease_until = NULL, notified_at = to_timestamp(0)
WHERE lease_owner = %(worker)s AND state = 'running'
RETURNING id
"""

# Extend: a worker that computes its rows one by one gets the time limit anew, now and then, for all that it holds; and
# more while it loads the version, which is not the job's time.
EXTEND = """
UPDATE jobs SET lease_until = now() + (hard_limit_seconds + %(more)s::float) * interval '1 second'
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS held (id, attempt)
WHERE jobs.id = held.id AND jobs.attempt = held.attempt AND jobs.state = 'running'
RETURNING jobs.id
"""

CANCEL = """
UPDATE jobs SET state = 'cancelled', finished_at = now(), lease_owner = NULL, lease_until = NULL
WHERE id = %(id)s AND owner = %(owner)s AND state IN ('queued', 'running')
RETURNING id
"""

# A worker child says that it is there, before its first claim.
REGISTER = """
INSERT INTO workers (name, host, pid, process_started) VALUES (%(worker)s, %(host)s, %(pid)s, %(process_started)s)
ON CONFLICT (name) DO UPDATE SET heartbeat_at = now() RETURNING name
"""

# Heartbeat, written by the process beside a worker for the children that it sees alive. The dead it deletes, and
# what a removed worker held is rescued at once.
HEARTBEAT = "UPDATE workers SET heartbeat_at = now() WHERE name = ANY(%(names)s)"
DELETE_WORKERS = "DELETE FROM workers WHERE name = ANY(%(names)s)"
LOCAL_WORKERS = "SELECT name, pid, process_started FROM workers WHERE host = %(host)s"
FORGET_WORKERS = """
DELETE FROM workers WHERE heartbeat_at < now() - interval '1 hour'
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND lease_owner = workers.name)
"""

# Rescue: jobs whose worker is gone, has sent no heartbeat for a lease, or has run past its hard limit. What ran past it
# by itself, in a worker that lives, would do so again, and fails. Of rows that were computed together each has a try by
# itself first; and when the worker is gone too, nobody knows whether the row or the crash was the cause.
RESCUE = """
WITH dead AS (
    SELECT jobs.id, jobs.lease_until <= now() AS overran,
        jobs.attempt >= jobs.max_attempts OR (
            jobs.isolated AND jobs.lease_until <= now() AND coalesce(workers.heartbeat_at >= now() - %(lease)s, false)
        ) AS ends
    FROM jobs LEFT JOIN workers ON workers.name = jobs.lease_owner
    WHERE jobs.state = 'running' AND (
        workers.name IS NULL
        OR (%(judge_silence)s AND (workers.heartbeat_at < now() - %(lease)s OR jobs.lease_until <= now()))
    )
    ORDER BY jobs.id FOR UPDATE OF jobs SKIP LOCKED
)
UPDATE jobs SET
    state = CASE WHEN dead.ends THEN 'failed' ELSE 'queued' END,
    error_code = CASE WHEN NOT dead.ends THEN NULL WHEN dead.overran THEN 'timeout' ELSE 'worker_lost' END,
    error_detail = CASE WHEN NOT dead.ends THEN NULL
        WHEN dead.overran THEN 'it ran past its time limit of ' || hard_limit_seconds
            || ' s (AI_PLATFORM_JOBS__HARD_LIMIT_SECONDS, or --timeout of the version)'
        ELSE 'the last of its attempts lost the worker process that ran it' END,
    finished_at = CASE WHEN dead.ends THEN now() END,
    run_after = now() + CASE WHEN attempt = 1 THEN 0 ELSE least(power(2, attempt - 2), 30) END * interval '1 second',
    lease_owner = NULL, lease_until = NULL, isolated = true, notified_at = to_timestamp(0)
FROM dead WHERE jobs.id = dead.id
RETURNING jobs.id, jobs.state
"""

# Who holds a lease that ran past its hard limit: to be killed by the process beside it.
OVERRUNNING_WORKERS = """
SELECT DISTINCT workers.name, workers.pid, workers.process_started
FROM jobs JOIN workers ON workers.name = jobs.lease_owner
WHERE jobs.state = 'running' AND jobs.lease_until <= now() AND workers.host = %(host)s
"""

EXPIRE = """
UPDATE jobs SET state = 'expired', finished_at = now()
WHERE id IN (
    SELECT id FROM jobs WHERE state = 'queued' AND expires_at <= now() ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
)
RETURNING id
"""

# Renotify: rows whose notification was lost with Redis, or is overdue; oldest first, no more than the workers can take.
RENOTIFY = """
UPDATE jobs SET notified_at = now()
WHERE id IN (
    SELECT id FROM jobs WHERE state = 'queued' AND isolated = %(isolated)s
        AND run_after <= now() AND notified_at <= now() - %(renotify)s
    ORDER BY run_after LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING id, model, version, isolated
"""

DELETE_OLD_JOBS = """
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE finished_at < now() - %(keep)s LIMIT 500 FOR UPDATE SKIP LOCKED
)
"""
DELETE_OLD_KEYS = """
DELETE FROM idempotency_keys WHERE (owner, key) IN (
    SELECT owner, key FROM idempotency_keys WHERE expires_at <= now() LIMIT 500 FOR UPDATE SKIP LOCKED
)
"""

# What callers see of a job; its input, which may be large, is read by a retry alone.
_SEEN = """id, model, version, state, attempt, created_at, started_at, finished_at, error_code, error_detail,
    expires_at, retry_of"""
READ = f"SELECT {_SEEN}, result FROM jobs WHERE id = %(id)s AND owner = %(owner)s"
READ_INPUT = """
SELECT id, owner, model, version, state, input::text AS input, hard_limit_seconds FROM jobs
WHERE id = %(id)s AND owner = %(owner)s
"""
STATES_OF = "SELECT id, state, attempt FROM jobs WHERE id = ANY(%(ids)s::uuid[])"

# Listing, without results: ids of version 7 sort by time, so that a page is a range of the index (owner, id).
LIST = f"""
SELECT {_SEEN}, NULL AS result FROM jobs WHERE owner = %(owner)s AND (%(before)s::uuid IS NULL OR id < %(before)s::uuid)
    AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(model)s::text IS NULL OR model = %(model)s)
    AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s::text[]))
ORDER BY id DESC LIMIT %(limit)s
"""

# What waits, for backpressure, and how fast it has been going lately.
BACKLOG = """
SELECT owner, count(*) AS queued FROM jobs WHERE state = 'queued' AND id <> ALL(%(apart)s::uuid[]) GROUP BY owner
"""
FINISHED_LATELY = """
SELECT count(*) AS finished FROM jobs WHERE finished_at > now() - %(lately)s AND started_at IS NOT NULL
"""
COUNTS = "SELECT state, count(*) AS jobs FROM jobs GROUP BY state"
HEALTH = """
SELECT (SELECT count(*) FROM workers WHERE heartbeat_at > now() - %(lease)s) AS alive,
    (SELECT count(*) FROM jobs WHERE state = 'queued') AS queued,
    (SELECT count(*) FROM jobs WHERE state = 'running') AS running,
    (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float FROM jobs WHERE state = 'queued')
        AS oldest_queued_seconds
"""
SWEEP_LOCK = "SELECT pg_try_advisory_xact_lock(%(lock)s) AS mine"
