"""The process beside a worker that never forks: it sends heartbeats for living children, and rescues lost jobs."""

import contextlib
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import psutil
import redis.exceptions

from ai_platform.failpoints import reach
from ai_platform.jobs import statements
from ai_platform.jobs.notifier import IDS_PER_NOTIFICATION, QUEUE, batches, celery_app, notify
from ai_platform.jobs.processes import host_identity, is_same, state_of
from ai_platform.models.registry import uploads, versions
from ai_platform.predictions.log.retention import LogRetention
from ai_platform.processes.background import ThreadLoop
from ai_platform.settings import JobSettings
from ai_platform.storage.postgres import BoundedConnection, Database
from ai_platform.storage.redis import KEY_PREFIX, Redis
from ai_platform.telemetry import logger

log = logger(__name__)

SWEEP_LOCK = 0x0A1B_0002
# Notifications of one round: what a few workers can take, so that a long queue does not become a long list of them.
NOTIFICATIONS_PER_ROUND = 16
# Notifications in Redis beyond which no more are sent: each moves the whole queue, so that more would only fill Redis.
MOST_NOTIFICATIONS = 64
CLEANING_SECONDS = 60.0
LONGEST_CLEANING_SECONDS = 0.5


class Sweeper:
    """Sends heartbeats for this host's worker children, and sweeps for everybody, one sweeper at a time.

    Args:
        database: where the jobs are.
        redis: which carries the notifications.
        jobs: leases, pauses and bounds.
        log_retention: deletes old predictions.
    """

    def __init__(self, database: Database, redis: Redis, jobs: JobSettings, log_retention: LogRetention) -> None:
        self._jobs = jobs
        self._pool = database.pool("sweeper")
        self._app = celery_app(redis)
        self._redis = redis.client()
        self._breaker = redis.breaker()
        self._host = host_identity()
        self._lease = timedelta(seconds=self._jobs.lease_seconds)
        self._steady_since: float | None = None
        self._last_heartbeat = 0.0
        self._cleaned = self._swept = 0.0
        self._pause = min(self._jobs.heartbeat_seconds, self._jobs.sweep_seconds)
        self._log_retention = log_retention

    def run(self, stop: threading.Event) -> None:
        """Send heartbeats and sweep until told to stop; a round that raises is logged, counted, and not the last."""
        loop = ThreadLoop("sweeper", self._round, failure="round failed", pause=self._pause, last=self._close)
        loop.stopping = stop
        loop.run()

    def _round(self) -> float:
        try:
            self.heartbeat()
            if time.monotonic() - self._swept >= self._jobs.sweep_seconds:
                self._swept = time.monotonic()
                self.sweep()
        except Exception:
            self._steady_since = None
            raise
        return self._pause

    def _close(self) -> None:
        self._pool.close(timeout=1)

    def heartbeat(self) -> None:
        """Write a heartbeat for each child of this host that is alive and not stopped, and remove those that are gone.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        with self._pool.connection() as connection:
            mine = connection.execute(statements.LOCAL_WORKERS, {"host": self._host}).fetchall()
            states = {row["name"]: state_of(row["pid"], row["process_started"]) for row in mine}
            alive = [name for name, state in states.items() if state == "alive"]
            gone = [name for name, state in states.items() if state == "gone"]
            if alive:
                connection.execute(statements.HEARTBEAT, {"names": alive})
            if gone:
                connection.execute(statements.DELETE_WORKERS, {"names": gone})
                log.info("worker processes have ended; what they held is rescued", processes=len(gone))
            if self._steady:
                self._kill_overrunning(connection)
        self._note_heartbeat()

    def sweep(self) -> None:
        """One round: rescue, expire, notify again, delete what is old. Only one sweeper at a time does it.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        with self._pool.connection() as connection, connection.transaction():
            row = connection.execute(statements.SWEEP_LOCK, {"lock": SWEEP_LOCK}).fetchone()
            if row is None or not row["mine"]:
                return
            self._rescue(connection)
            connection.execute(statements.EXPIRE)
            overdue = self._overdue(connection)
        reach("sweeper.committed")
        self._notify(overdue)
        self._clean()
        self._log_retention.clean(self._pool)

    def _note_heartbeat(self) -> None:
        """Remember since when heartbeats came steadily: after a silence of our own, that of others says nothing yet."""
        now = time.monotonic()
        if self._steady_since is None or now - self._last_heartbeat > self._jobs.lease_seconds / 2:
            self._steady_since = now
        self._last_heartbeat = now

    @property
    def _steady(self) -> bool:
        """Whether heartbeats have come for a whole lease, so that silence and lateness are the workers' own."""
        return self._steady_since is not None and time.monotonic() - self._steady_since >= self._jobs.lease_seconds

    def _rescue(self, connection: BoundedConnection) -> None:
        taken = connection.execute(statements.RESCUE, {"lease": self._lease, "judge_silence": self._steady}).fetchall()
        if taken:
            failed = sum(1 for row in taken if row["state"] == "failed")
            log.warning("jobs rescued from lost workers", jobs=len(taken), failed=failed)

    def _kill_overrunning(self, connection: BoundedConnection) -> None:
        overrunning = connection.execute(statements.OVERRUNNING_WORKERS, {"host": self._host}).fetchall()
        if overrunning:
            # First, while the worker lives: afterwards it would look as if it had died of itself.
            self._rescue(connection)
        for row in overrunning:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(row["pid"])
                if is_same(process.pid, row["process_started"]):
                    log.error("killing a worker process that ran past the time limit", pid=row["pid"])
                    process.send_signal(signal.SIGKILL)

    def _overdue(self, connection: BoundedConnection) -> list[dict[str, Any]]:
        """Rows to notify of, unless enough notifications wait in Redis already for workers that are busy or away."""
        if not self._has_room_to_notify():
            return []
        renotify = timedelta(seconds=self._jobs.renotify_seconds)
        rows = []
        for isolated, limit in (
            (False, NOTIFICATIONS_PER_ROUND * IDS_PER_NOTIFICATION),
            (True, NOTIFICATIONS_PER_ROUND),
        ):
            rows += connection.execute(
                statements.RENOTIFY, {"renotify": renotify, "limit": limit, "isolated": isolated}
            ).fetchall()
        return rows

    def _has_room_to_notify(self) -> bool:
        if self._breaker.open:
            return False
        try:
            return int(self._redis.llen(f"{KEY_PREFIX}{QUEUE}")) < MOST_NOTIFICATIONS
        except (redis.exceptions.RedisError, OSError) as error:
            self._breaker.trip()
            log.warning("Redis does not answer; notifications wait", why=type(error).__name__)
            return False

    def _notify(self, rows: list[dict[str, Any]]) -> None:
        # After the commit: a notification for a row that is not there yet would find nothing.
        try:
            for ids in batches(rows):
                notify(self._app, ids)
        except Exception as error:  # noqa: BLE001  # whatever a broken transport raises: the next round notifies
            self._breaker.trip()
            log.warning("notification not sent", why=type(error).__name__)

    def _clean(self) -> None:
        """Delete what is old, in batches of their own, so that none of them holds locks for long."""
        if time.monotonic() - self._cleaned < CLEANING_SECONDS:
            return
        self._cleaned = time.monotonic()
        keep = {"keep": timedelta(days=self._jobs.keep_days)}
        with self._pool.connection() as connection:
            connection.execute(statements.FORGET_WORKERS)
            for statement in (statements.DELETE_OLD_JOBS, statements.DELETE_OLD_KEYS):
                until = time.monotonic() + LONGEST_CLEANING_SECONDS
                while connection.execute(statement, keep).rowcount and time.monotonic() < until:
                    pass
            versions.delete_unnamed_artifacts(connection, uploads.KEPT)
