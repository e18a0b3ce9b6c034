"""The watcher of jobs: who waits is told what is news, with Redis or without, and is let go at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from ai_platform.errors import Overloaded
from ai_platform.jobs.job import stage
from ai_platform.jobs.reading import JobReader
from ai_platform.jobs.waiting import FINISHED_CHANNEL, JobWatcher
from ai_platform.predictions.ids import new_id
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis
from harness import eventually, free_port
from job_table import JobTable
from tcp_proxy import TcpProxy

SECONDS = 20.0
QUEUED = stage("queued", 0)


def with_watcher(settings: Settings, scenario: Callable[[JobWatcher], Awaitable[None]]) -> None:
    """Run a scenario on a watcher that looks."""

    async def run() -> None:
        async with Database.of(settings).async_pool("test") as pool:
            watcher = JobWatcher(Redis.of(settings), settings.limits.waiters, JobReader(pool))
            watcher.start()
            try:
                async with asyncio.timeout(2 * SECONDS):
                    await scenario(watcher)
            finally:
                await watcher.close()

    asyncio.run(run())


def without_redis(settings: Settings) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})


def end(job_table: JobTable, job_id: object) -> None:
    (claimed,) = job_table.claim(job_id)
    assert job_table.finish(job_id, claimed["attempt"])


def not_watched() -> float:
    return REGISTRY.get_sample_value("aip_loop_failures_total", {"loop": "job-watch"}) or 0.0


def test_without_redis_everybody_is_told_of_the_end(settings: Settings, job_table: JobTable) -> None:
    ids = [job_table.accept() for _ in range(3)]

    async def scenario(watcher: JobWatcher) -> None:
        with (
            watcher.watching(ids[0], QUEUED) as one,
            watcher.watching(ids[0], QUEUED) as another,
            watcher.watching(ids[1], QUEUED, only_final=True) as other,
            watcher.watching(ids[2], QUEUED) as none,
        ):
            end(job_table, ids[0])
            end(job_table, ids[1])
            assert await asyncio.gather(*(watch.news(SECONDS) for watch in (one, another, other))) == [True] * 3
            assert not await none.news(0)

    with_watcher(without_redis(settings), scenario)


def test_a_job_that_has_begun_is_no_news_to_whoever_waits_for_its_end(settings: Settings, job_table: JobTable) -> None:
    job_id = job_table.accept()

    async def scenario(watcher: JobWatcher) -> None:
        with watcher.watching(job_id, QUEUED) as stages, watcher.watching(job_id, QUEUED, only_final=True) as its_end:
            job_table.claim(job_id)
            assert await stages.news(SECONDS)
            assert not await its_end.news(0)

    with_watcher(settings, scenario)


def test_a_stage_that_the_caller_knows_is_no_news(settings: Settings, job_table: JobTable) -> None:
    job_id = job_table.accept()
    (claimed,) = job_table.claim(job_id)

    async def scenario(watcher: JobWatcher) -> None:
        with watcher.watching(job_id, stage("running", claimed["attempt"])) as knows:
            with watcher.watching(job_id, QUEUED) as does_not:
                assert await does_not.news(SECONDS)
            assert not await knows.news(0)
            job_table.finish(job_id, claimed["attempt"])
            assert await knows.news(SECONDS)

    with_watcher(settings, scenario)


def test_a_connection_to_the_database_that_breaks_is_counted_and_looking_goes_on(
    settings: Settings, job_table: JobTable
) -> None:
    job_id = job_table.accept()
    database = settings.database.model_copy(update={"statement_seconds": 0.3, "connect_seconds": 1})

    with TcpProxy(settings.database_dsn) as proxy:

        async def scenario(watcher: JobWatcher) -> None:
            with watcher.watching(job_id, QUEUED) as watch:
                before = not_watched()
                proxy.blackhole()
                await asyncio.to_thread(eventually, lambda: not_watched() > before, SECONDS, "the failure is counted")
                proxy.relay()
                end(job_table, job_id)
                assert await watch.news(SECONDS)

        with_watcher(settings.model_copy(update={"database_url": SecretStr(proxy.url), "database": database}), scenario)


def test_hints_that_name_no_job_are_passed_over_and_listening_goes_on(settings: Settings, job_table: JobTable) -> None:
    job_id = job_table.accept()

    async def scenario(watcher: JobWatcher) -> None:
        with watcher.watching(job_id, QUEUED) as watch, Redis.of(settings).client() as valkey:
            await asyncio.to_thread(
                eventually, partial(valkey.publish, FINISHED_CHANNEL, b"no id"), SECONDS, "it listens"
            )
            for hint in (b"\xff\xfe", b"", str(new_id()).encode(), b"x " * 100):
                assert valkey.publish(FINISHED_CHANNEL, hint)
            assert not await watch.news(0)
            end(job_table, job_id)
            valkey.publish(FINISHED_CHANNEL, str(job_id))
            assert await watch.news(SECONDS)

    with_watcher(settings, scenario)


def test_at_the_end_whoever_waits_is_let_go_and_whoever_comes_does_not_wait(
    settings: Settings, job_table: JobTable
) -> None:
    job_id = job_table.accept()

    async def scenario(watcher: JobWatcher) -> None:
        with watcher.watching(job_id, QUEUED) as watch:
            waiting = asyncio.get_running_loop().create_task(watch.news(SECONDS))
            await asyncio.sleep(0)
            watcher.release()
            assert await waiting
        with watcher.watching(job_id, QUEUED) as late:
            assert await late.news(SECONDS)

    with_watcher(settings, scenario)


def test_one_more_than_may_wait_is_refused_until_one_has_left(settings: Settings, job_table: JobTable) -> None:
    job_id = job_table.accept()
    limits = settings.limits.model_copy(update={"waiters": 2})

    async def scenario(watcher: JobWatcher) -> None:
        with watcher.watching(job_id, QUEUED):
            with watcher.watching(new_id(), QUEUED), pytest.raises(Overloaded, match="too many callers"):
                watcher.require_room()
            with watcher.watching(job_id, QUEUED) as watch:
                end(job_table, job_id)
                assert await watch.news(SECONDS)

    with_watcher(settings.model_copy(update={"limits": limits}), scenario)
