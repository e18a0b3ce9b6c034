"""What a worker child does when it is notified: claim, compute together, finish; fenced, in short transactions."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import orjson
import redis.exceptions

from ai_platform.errors import ModelNotFound, ModelNotReady, PlatformError, StorageUnavailable
from ai_platform.failpoints import reach
from ai_platform.inputs.instances import Instances
from ai_platform.jobs import statements
from ai_platform.jobs.computing import Claimed, Outcome, compute
from ai_platform.jobs.processes import host_identity, started_at
from ai_platform.jobs.waiting import FINISHED_CHANNEL
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.storage.postgres import Database, translated
from ai_platform.storage.redis import Redis
from ai_platform.telemetry import logger

log = logger(__name__)

# How long a worker tries to record what it computed while PostgreSQL is away; after that the lease decides.
FINISH_TRIES_SECONDS = 120.0
# How long one notification may keep a child: a worker that is told to stop finishes its notifications first.
DRAIN_SECONDS = 1.0
# After an outage: how soon a worker lets go of what it may hold without knowing it.
RELEASE_SECONDS = 2.0


class JobRunner:
    """Runs jobs in one worker child.

    Args:
        database: where the jobs are.
        redis: which carries hints to those who wait.
        directory: of the models; this class starts it.
        most: jobs that one claim takes (`jobs.claim_batch_size`).
        notify: sends a notification that names nobody: more waits than one notification's time was enough for.
    """

    def __init__(
        self, database: Database, redis: Redis, directory: ModelDirectory, most: int, notify: Callable[[], None]
    ) -> None:
        self._most = most
        self._notify = notify
        self._pool = database.pool("worker")
        self._directory = directory
        self._redis = redis.client()
        self._redis_breaker = redis.breaker()
        self._may_hold_unknown_jobs = False
        self._busy = threading.Lock()
        self._me = {
            "worker": f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
            "host": host_identity(),
            "pid": os.getpid(),
            "process_started": started_at(os.getpid()),
        }

    def warm(self) -> None:
        """Say that this process is there, and begin to load what aliases name, so that a job finds its model warm.

        Nothing of it is waited for: a job waits for its own version alone.
        """
        with contextlib.suppress(PlatformError):
            self._execute(statements.REGISTER, self._me)
        self._directory.start()

    def run(self, ids: Sequence[str]) -> None:
        """Run what a notification names (jobs of one version), and then whatever waits longest, for about a second.

        Raises:
            StorageUnavailable: PostgreSQL is away; the jobs are notified of again later.
        """
        with self._busy:
            self._run(ids)

    def _run(self, ids: Sequence[str]) -> None:
        reach("worker.notified")
        self._release_unknown_jobs()
        until = time.monotonic() + DRAIN_SECONDS
        try:
            claimed = self._claim(statements.CLAIM_NAMED, ids=list(ids)) if ids else []
            while claimed or (claimed := self._claim(statements.CLAIM_OLDEST)):
                for (model, version), group in _by_version(claimed):
                    self._run_group(model, version, group)
                if time.monotonic() > until:
                    self._notify()
                    return
                claimed = []
        except Exception:
            # A claim whose answer was lost may have given this process jobs that it does not know of.
            self._may_hold_unknown_jobs = True
            self._release_later()
            raise

    def _release_later(self) -> None:
        """Without a notification too: none may come, and jobs that nobody computes would run past their time limit."""
        timer = threading.Timer(RELEASE_SECONDS, self._release_unless_busy)
        timer.daemon = True
        timer.start()

    def _release_unless_busy(self) -> None:
        if not self._busy.acquire(blocking=False):
            return  # the notification that runs now has given back at its beginning
        try:
            self._release_unknown_jobs()
        except StorageUnavailable:
            self._release_later()
        finally:
            self._busy.release()

    def _release_unknown_jobs(self) -> None:
        if self._may_hold_unknown_jobs:
            self._execute(statements.RELEASE_ALL, self._me)
            self._may_hold_unknown_jobs = False

    def _claim(self, statement: str, **choice: Any) -> list[Claimed]:
        rows = self._execute(statement, {**self._me, **choice, "limit": self._most})
        return [
            Claimed(
                row["id"],
                row["model"],
                row["version"],
                Instances.from_stored(orjson.loads(row["input"])),
                row["attempt"],
                row["hard_limit_seconds"],
            )
            for row in rows
        ]

    def _run_group(self, model: str, version: int, group: list[Claimed]) -> None:
        reach("worker.claimed")
        try:
            prepared = self._loaded(model, version, group)
        except (StorageUnavailable, ModelNotFound, ModelNotReady) as error:
            log.warning("model cannot be had now", model=model, version=version, why=error.detail)
            self._execute(statements.RELEASE, _fences(group))
            return
        except PlatformError as error:
            self._finish([Outcome(job, code="model_unavailable", detail=error.detail) for job in group])
            return
        reach("worker.computing")
        outcomes = compute(prepared, group, self._extension(group))
        reach("worker.computed")
        self._finish(outcomes)
        reach("worker.finished")

    def _loaded(self, model: str, version: int, group: list[Claimed]) -> PreparedModel:
        """The version; the time that loading it takes is not the jobs'."""
        held = self._directory.held(model, version)
        if held is not None:
            return held
        self._execute(statements.EXTEND, {**_fences(group), "more": self._directory.load_seconds})
        prepared = self._directory.load(model, version)
        self._execute(statements.EXTEND, {**_fences(group), "more": 0.0})
        return prepared

    def _extension(self, group: list[Claimed]) -> Callable[[], None]:
        """What gives jobs that are computed one by one their time limit anew, now and then."""
        pause = min(job.hard_limit for job in group) / 4
        extended = time.monotonic()

        def extend() -> None:
            nonlocal extended
            if time.monotonic() - extended > pause:
                extended = time.monotonic()
                with contextlib.suppress(StorageUnavailable):  # what is computed already must not be lost for it
                    self._execute(statements.EXTEND, {**_fences(group), "more": 0.0})

        return extend

    def _finish(self, outcomes: list[Outcome]) -> None:
        parameters = {
            "ids": [outcome.job.id for outcome in outcomes],
            "attempts": [outcome.job.attempt for outcome in outcomes],
            "states": ["failed" if outcome.code else "succeeded" for outcome in outcomes],
            "results": [outcome.result for outcome in outcomes],
            "codes": [outcome.code for outcome in outcomes],
            "details": [outcome.detail for outcome in outcomes],
        }
        recorded, tries = self._execute_until_recorded(parameters)
        if len(recorded) < len(outcomes):
            # After a lost answer the rows may be this attempt's own; nothing more can or need be done either way.
            log.warning("results not recorded", jobs=len(outcomes) - len(recorded), tries=tries)
        self._hint([str(outcome.job.id) for outcome in outcomes])

    def _execute_until_recorded(self, parameters: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
        give_up = time.monotonic() + FINISH_TRIES_SECONDS
        pause, tries = 0.1, 0
        while True:
            tries += 1
            try:
                return self._execute(statements.FINISH, parameters), tries
            except StorageUnavailable:
                if time.monotonic() > give_up:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, 2.0)

    def _execute(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with translated(), self._pool.connection() as connection:
            return connection.execute(statement, parameters).fetchall()

    def _hint(self, ids: list[str]) -> None:
        if self._redis_breaker.open:
            return
        try:
            self._redis.publish(FINISHED_CHANNEL, " ".join(ids))
        except (redis.exceptions.RedisError, OSError):
            self._redis_breaker.trip()  # whoever waits polls


def _by_version(claimed: list[Claimed]) -> Iterable[tuple[tuple[str, int], list[Claimed]]]:
    ordered = sorted(claimed, key=lambda job: (job.model, job.version))
    for version, group in groupby(ordered, key=lambda job: (job.model, job.version)):
        yield version, list(group)


def _fences(group: Sequence[Claimed]) -> dict[str, Any]:
    return {"ids": [job.id for job in group], "attempts": [job.attempt for job in group]}
