"""What must always hold of the jobs, as queries that return the rows that break it: none, at any moment."""

from datetime import timedelta
from typing import Any

from ai_platform.settings import JobSettings
from ai_platform.storage.postgres import Database, translated

# Name: what it says, and the query. At most a few rows are read: one is enough to be an alarm.
INVARIANTS: dict[str, tuple[str, str]] = {
    "success_has_one_result": (
        "a job has a result exactly when it succeeded",
        "SELECT id FROM jobs WHERE (state = 'succeeded') <> (result IS NOT NULL)",
    ),
    "result_names_its_job_and_version": (
        "a result carries the job's id and the version that the job was accepted for",
        (
            "SELECT id FROM jobs WHERE state = 'succeeded' AND (result->>'id' <> id::text"
            " OR result->>'model' <> model OR (result->>'version')::int <> version)"
        ),
    ),
    "failure_has_a_code": (
        "a job has an error code exactly when it failed",
        "SELECT id FROM jobs WHERE (state = 'failed') <> (error_code IS NOT NULL)",
    ),
    "final_means_finished": (
        "a job has a time of finishing exactly when it is final",
        "SELECT id FROM jobs WHERE (state IN ('queued', 'running')) <> (finished_at IS NULL)",
    ),
    "attempts_are_bounded": (
        "no job had more attempts than it may have, and none finished by a worker had none",
        (
            "SELECT id FROM jobs WHERE attempt > max_attempts"
            " OR (state IN ('succeeded', 'failed', 'running') AND attempt < 1)"
        ),
    ),
    "running_means_leased": (
        "a job has a lease exactly while it runs",
        "SELECT id FROM jobs WHERE (state = 'running') <> (lease_owner IS NOT NULL AND lease_until IS NOT NULL)",
    ),
    "one_job_a_key": (
        "every idempotency key that is kept names a job of its owner",
        (
            "SELECT kept.job_id AS id FROM idempotency_keys kept LEFT JOIN jobs ON jobs.id = kept.job_id"
            " WHERE kept.expires_at > now() AND (jobs.id IS NULL OR jobs.owner <> kept.owner)"
        ),
    ),
    "no_dead_lease_is_kept": (
        "no job is held by a worker that has been silent for two leases, or past its time limit for as long",
        (
            "SELECT jobs.id FROM jobs LEFT JOIN workers ON workers.name = jobs.lease_owner WHERE jobs.state = 'running'"
            " AND (coalesce(workers.heartbeat_at, jobs.lease_until - jobs.hard_limit_seconds * interval '1 second')"
            " < now() - 2 * %(lease)s - interval '5 seconds'"
            " OR jobs.lease_until < now() - 2 * %(lease)s - interval '5 seconds')"
        ),
    ),
    "no_queued_job_is_forgotten": (
        "no job that is due waits long after its notification was sent while workers are alive and nothing else moves",
        (
            "SELECT id FROM jobs WHERE state = 'queued' AND run_after < now() - 6 * %(renotify)s"
            " AND notified_at BETWEEN now() - 3 * %(renotify)s AND now() - %(renotify)s / 2"
            " AND EXISTS (SELECT 1 FROM workers WHERE heartbeat_at > now() - %(lease)s)"
            " AND NOT EXISTS (SELECT 1 FROM jobs WHERE state = 'running')"
            " AND NOT EXISTS (SELECT 1 FROM jobs WHERE finished_at > now() - 3 * %(renotify)s)"
        ),
    ),
}
SHOWN = 10


def broken(database: Database, settings: JobSettings) -> dict[str, list[Any]]:
    """The ids of up to 10 rows that break each invariant; an empty dict when all hold. Slow on a large table.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    bounds = {
        "lease": timedelta(seconds=settings.lease_seconds),
        "renotify": timedelta(seconds=settings.renotify_seconds),
    }
    found = {}
    with database.connect("invariants") as connection, translated():
        for name, (_sentence, query) in INVARIANTS.items():
            rows = connection.execute(f"{query} LIMIT {SHOWN}", bounds).fetchall()
            if rows:
                found[name] = [row["id"] for row in rows]
    return found
