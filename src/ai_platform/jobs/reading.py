"""What callers ask of their jobs, where every question names the owner; and what is counted of all jobs."""

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from ai_platform.errors import JobAlreadyFinished, JobNotFound, StorageUnavailable
from ai_platform.jobs import statements
from ai_platform.jobs.job import Job
from ai_platform.jobs.pages import Page, cursor_of, position_of
from ai_platform.storage.postgres import AsyncBoundedConnection


class JobReader:
    """Reads and cancels jobs over the API's pool.

    Args:
        pool: connections to PostgreSQL.
    """

    def __init__(self, pool: AsyncConnectionPool[AsyncBoundedConnection]) -> None:
        self._pool = pool

    async def read(self, job_id: uuid.UUID, owner: str) -> Job:
        """One job of an owner's.

        Raises:
            JobNotFound: the owner has no such job.
            StorageUnavailable: PostgreSQL is away.
        """
        return Job.from_row(await self._one(statements.READ, job_id, owner))

    async def with_input(self, job_id: uuid.UUID, owner: str) -> dict[str, Any]:
        """What a retry needs of one job: its id, owner, model, version, state, input (JSON text) and time limit.

        Raises:
            JobNotFound: the owner has no such job.
            StorageUnavailable: PostgreSQL is away.
        """
        return await self._one(statements.READ_INPUT, job_id, owner)

    async def _one(self, statement: str, job_id: uuid.UUID, owner: str) -> dict[str, Any]:
        rows = await self._query(statement, {"id": job_id, "owner": owner})
        if not rows:
            raise JobNotFound("there is no job with this id")
        return rows[0]

    async def page(
        self,
        owner: str,
        *,
        limit: int,
        cursor: str | None = None,
        state: str | None = None,
        model: str | None = None,
        models: Collection[str] | None = None,
    ) -> Page:
        """An owner's jobs, newest first, without their results.

        Args:
            owner: whose.
            limit: most jobs on the page.
            cursor: where the last page ended.
            state: only jobs in this state.
            model: only jobs of this model.
            models: only jobs of these models; None for all.

        Raises:
            InvalidCursor: the cursor is not one of this platform's.
            StorageUnavailable: PostgreSQL is away.
        """
        before = None if cursor is None else position_of(cursor)
        narrowed = {"state": state, "model": model, "models": None if models is None else sorted(models)}
        parameters = {"owner": owner, "before": before, "limit": limit + 1, **narrowed}
        rows = await self._query(statements.LIST, parameters)
        jobs = [Job.from_row(row) for row in rows[:limit]]
        return Page(jobs, cursor_of(jobs[-1].id) if len(rows) > limit else None)

    async def cancel(self, job_id: uuid.UUID, owner: str) -> Job:
        """Cancel a job; one that runs is not interrupted, and what it computes is not recorded.

        Raises:
            JobNotFound: the owner has no such job.
            JobAlreadyFinished: it is final.
            StorageUnavailable: PostgreSQL is away.
        """
        parameters = {"id": job_id, "owner": owner}
        try:
            cancelled, answer_lost = await self._query_once(statements.CANCEL, parameters), False
        except psycopg.OperationalError:
            cancelled, answer_lost = await self._query(statements.CANCEL, parameters), True
        job = await self.read(job_id, owner)
        if cancelled or (answer_lost and job.state == "cancelled"):  # by the first try
            return job
        raise JobAlreadyFinished(f"the job is {job.state} already")

    async def states(self, ids: list[uuid.UUID]) -> list[dict[str, Any]]:
        """Id, state and attempt of each of these jobs that exists, whoever owns it.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        return await self._query(statements.STATES_OF, {"ids": ids})

    async def health(self, lease_seconds: float) -> dict[str, Any]:
        """Workers that are `alive`, jobs that are `queued` and `running`, and `oldest_queued_seconds`.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        return (await self._query(statements.HEALTH, {"lease": timedelta(seconds=lease_seconds)}))[0]

    async def counts(self) -> dict[str, int]:
        """How many jobs are in each state that any is in.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        return {row["state"]: row["jobs"] for row in await self._query(statements.COUNTS, {})}

    async def _query(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            return await self._query_once(statement, parameters)
        except psycopg.OperationalError:
            pass  # a connection that PostgreSQL's restart left behind looks like this once
        try:
            return await self._query_once(statement, parameters)
        except psycopg.OperationalError as error:
            raise StorageUnavailable("the database did not answer in time") from error

    async def _query_once(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchall()
