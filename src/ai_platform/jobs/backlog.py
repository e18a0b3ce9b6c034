"""How much waits, and how fast it goes: the bounds of the queue, and an honest Retry-After when one is reached."""

import math
import time
import uuid
from collections import Counter
from datetime import timedelta

from psycopg_pool import AsyncConnectionPool

from ai_platform.errors import QueueFull, TooManyJobs
from ai_platform.jobs import statements
from ai_platform.processes.background import TaskLoop
from ai_platform.settings import JobSettings
from ai_platform.storage.postgres import AsyncBoundedConnection
from ai_platform.telemetry import logger

log = logger(__name__)

LATELY_SECONDS = 10.0
LOOK_SECONDS = 1.0
# Counting must stay a small part of what PostgreSQL does: a look that took t seconds is followed by 20 t of rest.
REST = 20
LONGEST_RETRY_SECONDS = 300


class Backlog:
    """Counts queued jobs by owner, about once a second; what this process admits between two looks is added.

    With several processes the bounds are kept to within what they admit together in that second.

    Args:
        jobs: the bounds.
        pool: connections to PostgreSQL.
    """

    def __init__(self, jobs: JobSettings, pool: AsyncConnectionPool[AsyncBoundedConnection]) -> None:
        self._per_owner = jobs.max_queued_per_owner
        self._in_all = jobs.max_queued_jobs
        self._pool = pool
        self._queued: Counter[str] = Counter()
        self._since_look: Counter[str] = Counter()
        self._uncommitted: dict[uuid.UUID, str] = {}
        self._all = 0
        self._finished_per_second = 0.0
        self._loop = TaskLoop("backlog", self._round, failure="backlog not counted", pause=LOOK_SECONDS)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    async def close(self) -> None:
        """Stop looking."""
        await self._loop.close()

    def admit(self, owner: str, job_id: uuid.UUID, most: int | None = None) -> None:
        """Count one more job of an owner, if there is room for it; `settle` follows once its fate is known.

        Args:
            owner: whose it is.
            job_id: the job.
            most: queued jobs that the owner may have; None for `jobs.max_queued_per_owner`.

        Raises:
            TooManyJobs: the owner's bound is reached.
            QueueFull: the bound of all is reached.
        """
        if self._all >= self._in_all:
            retry = self._retry_after(self._all - self._in_all + 1)
            raise QueueFull("as many jobs are queued as this platform takes on", retry)
        most = most or self._per_owner
        if self._queued[owner] >= most:
            retry = self._retry_after(self._queued[owner] - most + 1)
            raise TooManyJobs(f"you have {most} queued jobs, as many as you may have", retry)
        for count in (self._queued, self._since_look):
            count[owner] += 1
        self._all += 1
        self._uncommitted[job_id] = owner

    def settle(self, job_id: uuid.UUID) -> None:
        """It was committed, or never will be: from now on PostgreSQL alone knows it."""
        self._uncommitted.pop(job_id, None)

    async def look(self) -> None:
        """Count once.

        A job whose commit is under way may be in the query's snapshot or not; it is left out there and counted here.

        Raises:
            psycopg.OperationalError: PostgreSQL is away; the last counts stay.
        """
        uncommitted = list(self._uncommitted)
        self._since_look = Counter(self._uncommitted.values())
        async with self._pool.connection() as connection:
            queued = await (await connection.execute(statements.BACKLOG, {"apart": uncommitted})).fetchall()
            lately = {"lately": timedelta(seconds=LATELY_SECONDS)}
            finished = await (await connection.execute(statements.FINISHED_LATELY, lately)).fetchone()
        self._queued = Counter({row["owner"]: row["queued"] for row in queued}) + self._since_look
        self._all = self._queued.total()
        self._finished_per_second = (finished["finished"] if finished else 0) / LATELY_SECONDS

    def _retry_after(self, excess: int) -> int:
        """Seconds until the excess has drained at the rate of the last 10 s; 300 at most, and when nothing drains."""
        if not self._finished_per_second:
            return LONGEST_RETRY_SECONDS
        return max(1, min(LONGEST_RETRY_SECONDS, math.ceil(excess / self._finished_per_second)))

    async def _round(self) -> float:
        begun = time.monotonic()
        await self.look()
        return max(LOOK_SECONDS, REST * (time.monotonic() - begun))
