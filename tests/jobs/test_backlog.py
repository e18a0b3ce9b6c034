"""The bounds of the queue are kept to the job, whatever is being committed while the backlog is counted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ai_platform.errors import TooManyJobs
from ai_platform.jobs.backlog import Backlog
from ai_platform.predictions.ids import new_id
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from job_table import JobTable

OWNER = "anonymous"


def counted(settings: Settings, scenario: Callable[[Backlog], Awaitable[None]]) -> None:
    """Run a scenario on a backlog that takes two jobs of an owner."""
    bounded = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"max_queued_per_owner": 2})})

    async def run() -> None:
        async with Database.of(bounded).async_pool("test") as pool:
            await scenario(Backlog(bounded.jobs, pool))

    asyncio.run(run())


def test_a_job_that_is_being_committed_while_the_backlog_is_counted_is_counted(settings: Settings) -> None:
    async def scenario(backlog: Backlog) -> None:
        for _ in range(2):
            backlog.admit(OWNER, new_id())
        await backlog.look()
        with pytest.raises(TooManyJobs):
            backlog.admit(OWNER, new_id())

    counted(settings, scenario)


def test_a_job_that_is_committed_and_not_yet_settled_is_counted_once(settings: Settings, job_table: JobTable) -> None:
    async def scenario(backlog: Backlog) -> None:
        job_id = new_id()
        backlog.admit(OWNER, job_id)
        job_table.accept(job_id=job_id)
        await backlog.look()
        backlog.admit(OWNER, new_id())

    counted(settings, scenario)


def test_a_job_that_was_never_committed_is_forgotten_at_the_next_look(settings: Settings) -> None:
    async def scenario(backlog: Backlog) -> None:
        for _ in range(2):
            job_id = new_id()
            backlog.admit(OWNER, job_id)
            backlog.settle(job_id)
        await backlog.look()
        backlog.admit(OWNER, new_id())

    counted(settings, scenario)
