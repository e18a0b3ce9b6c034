"""Acceptance: what callers are told when a commit shares, fails, is interrupted or is never reached."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from ai_platform.errors import Overloaded, StorageUnavailable
from ai_platform.inputs.instances import Instances
from ai_platform.jobs.acceptance import MAX_WAITING, JobAcceptance
from ai_platform.jobs.backlog import Backlog
from ai_platform.jobs.notifier import Notifier
from ai_platform.jobs.submission import Accepted
from ai_platform.predictions.ids import new_id
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.processes import background
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis
from harness import eventually
from job_table import JobTable
from tcp_proxy import TcpProxy

ONE = Instances([[5.1, 3.5, 1.4, 0.2]], single=True)
SECONDS = 20
WAITS_FOR_A_LOCK = "SELECT 1 FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted"


class Callers:
    """An acceptance over a pool of its own, as an API process has it, and callers of it."""

    def __init__(self, acceptance: JobAcceptance) -> None:
        self.acceptance = acceptance

    async def accept(self, version: int = 1, key: str | None = None) -> Accepted:
        manifest = SimpleNamespace(hard_limit_seconds=None)
        served = SimpleNamespace(name="iris", version=version, manifest=manifest)
        prepared = cast("PreparedModel", SimpleNamespace(served=served))
        return await self.acceptance.accept(prepared, ONE, owner="anonymous", key=key, request_hash=b"hash")

    def called(self, **terms: Any) -> "asyncio.Task[Accepted]":
        return asyncio.get_running_loop().create_task(self.accept(**terms))

    async def at_once(self, count: int) -> list[Accepted | BaseException]:
        """What so many callers are told who arrive together."""
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*(self.accept() for _ in range(count)), return_exceptions=True)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Callers]:
    # A slow machine is no reason to tell a caller that it took too long.
    settings = settings.model_copy(update={"api": settings.api.model_copy(update={"accept_seconds": SECONDS})})
    async with Database.of(settings).async_pool("test") as pool:
        notifier, backlog = Notifier(Redis.of(settings)), Backlog(settings.jobs, pool)
        acceptance = JobAcceptance(settings.jobs, settings.api.accept_seconds, pool, notifier, backlog)
        yield Callers(acceptance)
        await acceptance.close()


def with_callers(settings: Settings, scenario: Callable[[Callers], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(settings) as callers:
            await scenario(callers)

    asyncio.run(run())


@pytest.fixture
def proxy(settings: Settings) -> Any:
    with TcpProxy(settings.database_dsn) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(settings: Settings, proxy: TcpProxy) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(proxy.url)})


def committed(job_table: JobTable) -> int:
    return int(job_table.run("SELECT count(*) AS jobs FROM jobs")[0]["jobs"])


def test_whoever_arrives_together_shares_one_commit(settings: Settings, job_table: JobTable) -> None:
    async def scenario(callers: Callers) -> None:
        callers.acceptance.start()
        told = await callers.at_once(20)
        assert {one.state for one in told if isinstance(one, Accepted)} == {"queued"}

    with_callers(settings, scenario)
    (found,) = job_table.run("SELECT count(*) AS jobs, count(DISTINCT xmin::text) AS commits FROM jobs")
    assert found == {"jobs": 20, "commits": 1}


def test_a_connection_that_breaks_under_a_commit_costs_nobody_their_job(
    through_proxy: Settings, proxy: TcpProxy, job_table: JobTable
) -> None:
    async def scenario(callers: Callers) -> None:
        callers.acceptance.start()
        cut = proxy.cut_answer(rb"INSERT 0 3")  # committed, and the answer is lost
        told = await asyncio.gather(*(callers.accept(key=f"key-{number}") for number in range(3)))
        assert cut.is_set()
        assert [one.replayed for one in told] == [False] * 3

    with_callers(through_proxy, scenario)
    assert committed(job_table) == 3


def test_with_the_database_away_each_caller_is_told_and_once_it_is_back_jobs_are_accepted(
    through_proxy: Settings, proxy: TcpProxy, job_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = through_proxy.database.model_copy(update={"statement_seconds": 1.0, "connect_seconds": 1})
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(background, "log", SimpleNamespace(warning=lambda event, **facts: said.append({event: facts})))

    async def scenario(callers: Callers) -> None:
        callers.acceptance.start()
        await callers.accept()
        proxy.blackhole()
        told = await callers.at_once(3)
        assert [type(one) for one in told] == [StorageUnavailable] * 3
        proxy.relay()
        async with asyncio.timeout(SECONDS):
            while not isinstance((await callers.at_once(1))[0], Accepted):
                pass

    with_callers(through_proxy.model_copy(update={"database": database}), scenario)
    assert committed(job_table) == 2
    assert said[0]["jobs not accepted"]["note"] == "jobs: 3"


def test_a_row_that_the_database_refuses_fails_alone(settings: Settings, job_table: JobTable) -> None:
    async def scenario(callers: Callers) -> None:
        callers.acceptance.start()
        good, bad = [callers.called() for _ in range(3)], callers.called(version=99)
        assert len(await asyncio.gather(*good)) == 3
        with pytest.raises(StorageUnavailable, match="could not be stored"):
            await bad

    with_callers(settings, scenario)
    assert committed(job_table) == 3


def test_a_stop_in_the_middle_of_a_commit_is_told_at_once_to_whoever_waits(
    settings: Settings, job_table: JobTable
) -> None:
    async def scenario(callers: Callers) -> None:
        callers.acceptance.start()
        with job_table.connection.transaction():
            job_table.run("LOCK TABLE jobs IN EXCLUSIVE MODE")
            one = callers.called()
            await asyncio.to_thread(eventually, lambda: job_table.run(WAITS_FOR_A_LOCK), SECONDS, "the commit waits")
            behind = callers.called()
            await asyncio.sleep(0)
            await callers.acceptance.close()
            assert one.done()
        for caller in (one, behind):
            with pytest.raises(StorageUnavailable, match="stopping"):
                async with asyncio.timeout(1):
                    await caller

    with_callers(settings, scenario)  # the commit may come about all the same: nothing was promised


def test_an_error_between_two_commits_leaves_nobody_waiting_for_the_next_to_arrive(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(callers: Callers) -> None:
        group, faults = callers.acceptance._next_group, [RuntimeError("between two commits")]

        def next_group() -> Any:
            if faults:
                raise faults.pop()
            return group()

        monkeypatch.setattr(callers.acceptance, "_next_group", next_group)
        callers.acceptance.start()
        (told,) = await callers.at_once(1)
        assert isinstance(told, Accepted)
        assert not faults

    with_callers(settings, scenario)


def test_a_caller_who_has_left_before_the_commit_has_no_job(settings: Settings, job_table: JobTable) -> None:
    async def scenario(callers: Callers) -> None:
        left = callers.called()
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        callers.acceptance.start()
        await callers.accept()

    with_callers(settings, scenario)
    assert committed(job_table) == 1


def test_one_caller_beyond_the_bound_of_those_who_wait_is_refused_at_once(settings: Settings) -> None:
    roomy = settings.jobs.model_copy(update={"max_queued_per_owner": 2 * MAX_WAITING})

    async def scenario(callers: Callers) -> None:
        waiting = [callers.called() for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="too many jobs wait"):
            await callers.accept()
        for caller in waiting:
            caller.cancel()
        await asyncio.wait(waiting)

    with_callers(settings.model_copy(update={"jobs": roomy}), scenario)


def test_a_key_that_comes_twice_in_one_group_makes_one_job(settings: Settings, job_table: JobTable) -> None:
    async def scenario(callers: Callers) -> None:
        key = str(new_id())
        asked = [callers.called(key=key) for _ in range(5)]
        await asyncio.sleep(0)
        callers.acceptance.start()
        told = await asyncio.gather(*asked)
        assert len({one.id for one in told}) == 1
        assert sorted(one.replayed for one in told) == [False, True, True, True, True]

    with_callers(settings, scenario)
    assert committed(job_table) == 1
