"""Accepting jobs: whoever arrives while a commit is under way shares the next one. A 202 follows the COMMIT."""

import asyncio
import hashlib
from collections import deque
from datetime import timedelta
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from ai_platform.errors import IdempotencyKeyReused, JobNotRetryable, Overloaded, StorageUnavailable
from ai_platform.failpoints import reach
from ai_platform.inputs.instances import Instances
from ai_platform.jobs import statements
from ai_platform.jobs.backlog import Backlog
from ai_platform.jobs.notifier import Notifier
from ai_platform.jobs.submission import Accepted, Submission, first_of_each_key
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.processes.background import TaskLoop
from ai_platform.settings import JobSettings
from ai_platform.storage.postgres import AsyncBoundedConnection
from ai_platform.telemetry import ACCEPT_GROUP, JOBS_ACCEPTED, logger

log = logger(__name__)

GROUP_ROWS = 256  # one INSERT of 256 rows costs a few milliseconds; larger groups would only delay their first caller
MAX_WAITING = 4_096
STOPPING = "the server is stopping; try again"


class JobAcceptance:
    """Writes accepted jobs in groups.

    Args:
        jobs: bounds and time limits of jobs.
        commit_seconds: longest wait for a commit (`api.accept_seconds`).
        pool: connections to PostgreSQL.
        notifier: notified of what was committed.
        backlog: how much waits already.
    """

    def __init__(
        self,
        jobs: JobSettings,
        commit_seconds: float,
        pool: AsyncConnectionPool[AsyncBoundedConnection],
        notifier: Notifier,
        backlog: Backlog,
    ) -> None:
        self._jobs = jobs
        self._commit_seconds = commit_seconds
        self._pool = pool
        self._notifier = notifier
        self._backlog = backlog
        self._waiting: deque[Submission] = deque()
        self._arrived = asyncio.Event()
        self._loop = TaskLoop("acceptance", self._commit_waiting, failure="jobs not accepted", pause=0.0)

    def start(self) -> None:
        """Begin to commit."""
        self._loop.start()

    async def close(self) -> None:
        """Stop; callers that still wait get `StorageUnavailable`."""
        await self._loop.close()
        for submission in self._waiting:
            submission.fail(StorageUnavailable(STOPPING))

    async def accept(
        self,
        prepared: PreparedModel,
        instances: Instances,
        *,
        owner: str,
        key: str | None,
        request_hash: bytes,
        expires_in: float | None = None,
        waiting_jobs: int | None = None,
    ) -> Accepted:
        """Make a job; returns when it is committed.

        Args:
            prepared: the version that will compute it.
            instances: its checked input.
            owner: whose job it is; keys are looked up among theirs alone.
            key: the Idempotency-Key, if one was sent.
            request_hash: what must be equal when the key comes again.
            expires_in: seconds after which it expires if it is queued then; None for never.
            waiting_jobs: queued jobs that the owner may have through this key; None for `jobs.max_queued_per_owner`.

        Raises:
            IdempotencyKeyReused: the key was used with another request.
            StorageUnavailable: no commit within `api.accept_seconds`; nothing is promised then.
            TooManyJobs: the owner's queue is full.
            QueueFull: everybody's is.
            Overloaded: too many wait for a commit.
        """
        served = prepared.served
        return await self._submit(
            Submission(
                owner=owner,
                model=served.name,
                version=served.version,
                input=instances.encode().decode(),
                key=key,
                request_hash=request_hash,
                hard_limit=served.manifest.hard_limit_seconds or self._jobs.hard_limit_seconds,
                expires_in=expires_in,
                retry_of=None,
                waiting_jobs=waiting_jobs,
                outcome=asyncio.get_running_loop().create_future(),
            )
        )

    async def retry(self, row: dict[str, Any], key: str | None, waiting_jobs: int | None = None) -> Accepted:
        """A new job with the input, the pinned version and the time limit of one that ended without a result.

        Args:
            row: the old job, as `JobReader.with_input` gives it.
            key: the Idempotency-Key, if one was sent.
            waiting_jobs: as for `accept`.

        Raises:
            JobNotRetryable: it succeeded, or has not ended.
            StorageUnavailable, TooManyJobs, QueueFull, Overloaded: as for `accept`.
        """
        if row["state"] not in {"failed", "expired", "cancelled"}:
            raise JobNotRetryable(f"the job is {row['state']}; it must have failed, expired or been cancelled")
        return await self._submit(
            Submission(
                owner=row["owner"],
                model=row["model"],
                version=row["version"],
                input=row["input"],
                key=key,
                request_hash=hashlib.sha256(b"retry:" + row["id"].bytes).digest(),
                hard_limit=row["hard_limit_seconds"],
                expires_in=None,
                retry_of=row["id"],
                waiting_jobs=waiting_jobs,
                outcome=asyncio.get_running_loop().create_future(),
            )
        )

    async def _submit(self, submission: Submission) -> Accepted:
        try:
            self._backlog.admit(submission.owner, submission.id, submission.waiting_jobs)
        except Overloaded as refusal:
            if submission.key is None:
                raise
            return await self._replay_only(submission, refusal)
        try:
            accepted = await self._commit_in_time(submission)
        finally:
            self._backlog.settle(submission.id)
        reach("accept.before_answer")
        JOBS_ACCEPTED.inc()
        return accepted

    async def _commit_in_time(self, submission: Submission) -> Accepted:
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded("too many jobs wait to be accepted")
        self._waiting.append(submission)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._commit_seconds):
                return await submission.outcome
        except TimeoutError:
            raise StorageUnavailable("the job could not be stored in time; nothing was promised, try again") from None

    async def _replay_only(self, submission: Submission, refusal: Overloaded) -> Accepted:
        """With the queue full: what was accepted under this key before is still answered.

        Raises:
            Overloaded: nothing was; the refusal that was given.
            IdempotencyKeyReused, StorageUnavailable: as for `accept`.
        """
        try:
            kept = await self._kept([submission])
        except psycopg.OperationalError as error:
            raise StorageUnavailable("the database did not answer in time") from error
        if not kept:
            raise refusal
        self._answer_replay(submission, kept.get((submission.owner, submission.key)))
        return await submission.outcome

    async def _commit_waiting(self) -> float:
        await self._arrived.wait()
        self._arrived.clear()
        try:
            while group := self._next_group():
                await self._commit_or_fail(group)
        finally:
            if self._waiting:  # after an error too: nobody may arrive behind them who would wake this loop
                self._arrived.set()
        return 0.0

    async def _commit_or_fail(self, group: list[Submission]) -> None:
        try:
            await self._commit(group)
        except BaseException as error:
            stops = isinstance(error, asyncio.CancelledError)
            for submission in group:
                submission.fail(StorageUnavailable(STOPPING if stops else "the job could not be stored; try again"))
            error.add_note(f"jobs: {len(group)}")
            raise

    def _next_group(self) -> list[Submission]:
        group: list[Submission] = []
        while self._waiting and len(group) < GROUP_ROWS:
            submission = self._waiting.popleft()
            if not submission.outcome.done():  # its caller has not left
                group.append(submission)
        return group

    async def _commit(self, group: list[Submission]) -> None:
        first = first_of_each_key(group)
        try:
            await self._insert(first)
        except psycopg.OperationalError:
            # A broken connection may be one that PostgreSQL's restart left behind. The statement can be repeated.
            await self._insert(first)
        except psycopg.Error as error:
            if len(first) == 1:
                raise
            log.warning("a row was refused; the group is committed row by row", why=type(error).__name__)
            for submission in first:
                await self._commit_one(submission)
        rest = [submission for submission in group if not submission.outcome.done()]
        if rest:
            await self._answer_replays(rest)

    async def _commit_one(self, submission: Submission) -> None:
        try:
            await self._insert([submission])
        except psycopg.Error:
            submission.fail(StorageUnavailable("the job could not be stored; try again"))

    async def _insert(self, group: list[Submission]) -> None:
        reach("accept.before_insert")
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statements.ACCEPT, self._parameters(group))
            inserted = {row["id"] for row in await cursor.fetchall()}
        reach("accept.committed")
        ACCEPT_GROUP.observe(len(group))
        fresh = [submission for submission in group if submission.id in inserted or submission.key is None]
        self._notifier.notify((submission.model, submission.version, submission.id) for submission in fresh)
        for submission in fresh:
            submission.resolve(Accepted(submission.id, submission.model, submission.version))

    def _parameters(self, group: list[Submission]) -> dict[str, Any]:
        return {
            "ids": [submission.id for submission in group],
            "owners": [submission.owner for submission in group],
            "models": [submission.model for submission in group],
            "versions": [submission.version for submission in group],
            "inputs": [submission.input for submission in group],
            "keys": [submission.key for submission in group],
            "hashes": [submission.request_hash for submission in group],
            "key_lifetime": timedelta(hours=self._jobs.idempotency_hours),
            "hard_limits": [submission.hard_limit for submission in group],
            "lifetimes": [submission.expires_in for submission in group],
            "retries_of": [submission.retry_of for submission in group],
            "max_attempts": self._jobs.max_attempts,
        }

    async def _answer_replays(self, group: list[Submission]) -> None:
        """Those whose key is kept already: by an earlier request, by one of this group, or by a try of their own."""
        kept = await self._kept(group)
        for submission in group:
            self._answer_replay(submission, kept.get((submission.owner, submission.key)))

    async def _kept(self, group: list[Submission]) -> dict[tuple[str, str | None], dict[str, Any]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                statements.KEPT_KEYS,
                {
                    "owners": [submission.owner for submission in group],
                    "keys": [submission.key for submission in group],
                },
            )
            return {(row["owner"], row["key"]): row for row in await cursor.fetchall()}

    def _answer_replay(self, submission: Submission, row: dict[str, Any] | None) -> None:
        if row is None:
            submission.fail(StorageUnavailable("the Idempotency-Key expired just now; try again"))
        elif row["request_hash"] != submission.request_hash:
            submission.fail(IdempotencyKeyReused("this Idempotency-Key was used with another request"))
        else:
            replayed = row["job_id"] != submission.id
            if not replayed:  # its own first try was committed, and the answer to that was lost
                self._notifier.notify([(submission.model, submission.version, submission.id)])
            submission.resolve(Accepted(row["job_id"], row["model"], row["version"], replayed, row["state"]))


def request_hash(model: str, version: int | None, body: bytes) -> bytes:
    """What makes two requests with one Idempotency-Key the same: their target and their body's bytes (sha256)."""
    return hashlib.sha256(f"{model}:{version or ''}:".encode() + body).digest()
