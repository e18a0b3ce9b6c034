"""The pool of compute processes by itself: what calls are told when one dies, hangs, loads for ever or cannot start."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ai_platform.errors import ModelFailed, ModelNotReady, ModelTooSlow
from ai_platform.models.loading.loader import Loader, LoaderSettings
from ai_platform.models.registry import versions
from ai_platform.models.registry.versions import Version
from ai_platform.predictions.compute import pool as pools
from ai_platform.predictions.compute.ipc import Hello
from ai_platform.predictions.compute.pool import ComputePool
from ai_platform.predictions.compute.process import ComputeProcessDied, NotLoaded
from ai_platform.predictions.compute.slots import SlotLost
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Value
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from harness import Iris, eventually, lives
from predictions.compute.costly import DIES, FINE, RAISES, WAITS
from predictions.compute.publishing import publish_costly

SECONDS = 60.0


class Site:
    """A pool of one process, the costly model, and what was noted of its failures."""

    def __init__(self, pool: ComputePool, version: Version, prepared: PreparedModel, failures: list[str]) -> None:
        self.pool = pool
        self.version = version
        self.failures = failures
        self._prepared = prepared

    @property
    def key(self) -> tuple[str, int]:
        return self.version.model, self.version.version

    async def ask(self, number: float, trouble: int = FINE) -> list[Value]:
        outputs = await self.pool.compute(self._prepared, [[number, float(trouble), 0.0]])
        return cast("list[Value]", outputs.predictions)

    async def is_ready(self) -> None:
        await asyncio.to_thread(eventually, lambda: self.pool.slots == 1, SECONDS, "a process is ready")


Make = Callable[..., "contextlib.AbstractAsyncContextManager[Site]"]


@pytest.fixture
def site_of(settings: Settings, iris: Iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("COSTLY_GATE", str(tmp_path / "a gate that stays shut"))
    api = settings.api.model_copy(update={"compute_processes": 1})
    small = settings.model_copy(update={"api": api})

    @contextlib.asynccontextmanager
    async def made(hard_limit: float | None = None, *, is_loaded: bool = True) -> AsyncIterator[Site]:
        publish_costly(small, iris, hard_limit=hard_limit)
        with Database.of(small).connect("test") as connection:
            version = versions.find(connection, "costly", 1)
            manifest = Loader(
                LoaderSettings.of(small), lambda sha256: versions.artifact_parts(connection, sha256)
            ).read(version)
        failures: list[str] = []
        served = SimpleNamespace(name="costly", version=1, manifest=manifest)
        prepared = cast("PreparedModel", SimpleNamespace(served=served, note_failure=failures.append))
        limits = small.jobs.hard_limit_seconds, small.models.load_seconds
        pool = ComputePool(1, Hello.of(small), *limits, lambda: None)
        site = Site(pool, version, prepared, failures)
        try:
            async with asyncio.timeout(2 * SECONDS):
                if is_loaded:
                    await site.pool.take_up(version)
                yield site
        finally:
            await site.pool.close()

    return made


def run(made: "contextlib.AbstractAsyncContextManager[Site]", scenario: Callable[[Site], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with made as site:
            await scenario(site)

    asyncio.run(whole())


def test_a_process_that_is_killed_is_replaced_and_the_next_knows_the_version(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        (killed,) = site.pool.pids
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(eventually, lambda: killed not in site.pool.pids, SECONDS, "its end is seen")
        await site.is_ready()
        assert site.pool.pids != [killed]
        assert await site.ask(3) == [6]

    run(site_of(), scenario)


def test_a_call_that_ends_its_process_is_told_so_and_it_counts(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        with pytest.raises(SlotLost) as lost:
            await site.ask(1, DIES)
        assert lost.value.counts
        assert site.failures == ["it ended the process that computed it"]
        await site.is_ready()
        assert await site.ask(2) == [4]

    run(site_of(), scenario)


def test_a_call_that_finds_no_process_is_told_so_and_it_does_not_count(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        with pytest.raises(SlotLost) as lost:
            await site.ask(1)
        assert not lost.value.counts
        assert not site.failures

    run(site_of(is_loaded=False), scenario)


def test_a_call_that_raises_leaves_its_process_to_the_next(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        before = site.pool.pids
        with pytest.raises(ModelFailed, match="ValueError"):
            await site.ask(1, RAISES)
        assert await site.ask(2) == [4]
        assert site.pool.pids == before

    run(site_of(), scenario)


def test_a_call_beyond_its_time_limit_ends_its_process_and_no_other_call(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        (slow,) = site.pool.pids
        with pytest.raises(ModelTooSlow, match=r"within 0\.5 s"):
            await site.ask(1, WAITS)
        await asyncio.to_thread(eventually, lambda: not lives(slow), SECONDS, "it has ended")
        await site.is_ready()
        assert await site.ask(2) == [4]

    run(site_of(hard_limit=0.5), scenario)


def test_a_call_whose_caller_has_left_does_not_keep_its_process(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        (held,) = site.pool.pids
        call = asyncio.ensure_future(site.ask(1, WAITS))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        await asyncio.to_thread(eventually, lambda: held not in site.pool.pids, SECONDS, "it has ended")
        await site.is_ready()
        assert await site.ask(2) == [4]

    run(site_of(), scenario)


def test_a_version_that_ends_one_process_after_another_rests(site_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_MOST_CONSECUTIVE_ENDS", 2)

    async def scenario(site: Site) -> None:
        for _ in range(2):
            site.pool.require_well(site.key)
            await site.is_ready()
            with pytest.raises(SlotLost):
                await site.ask(1, DIES)
        with pytest.raises(ModelNotReady, match="ended the last 2 processes"):
            site.pool.require_well(site.key)
        await site.is_ready()
        assert await site.ask(2) == [4]
        site.pool.require_well(site.key)

    run(site_of(), scenario)


def test_a_version_that_is_refused_is_not_taken_up_and_its_process_lives_on(site_of: Make, settings: Settings) -> None:
    async def scenario(site: Site) -> None:
        before = site.pool.pids
        (settings.artifact_cache_dir / site.version.sha256.hex()).write_bytes(b"other bytes")
        site.pool.let_go(site.key)
        with pytest.raises(NotLoaded, match="artifact"):
            await site.pool.take_up(site.version)
        assert not site.pool.serves(site.key)
        assert site.pool.pids == before

    run(site_of(), scenario)


def test_when_no_process_can_be_started_the_version_is_refused_and_the_pool_says_that_it_is_broken(
    site_of: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def scenario(site: Site) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "no such program"))
            with pytest.raises(ComputeProcessDied):
                await site.pool.take_up(site.version)
            assert not site.pool.serves(site.key)
            assert site.pool.is_broken
        await site.is_ready()  # it goes on trying
        await site.pool.take_up(site.version)
        assert await site.ask(2) == [4]

    run(site_of(is_loaded=False), scenario)


def test_at_the_end_no_process_is_left_and_calls_under_way_are_told(site_of: Make) -> None:
    async def scenario(site: Site) -> None:
        pids = site.pool.pids
        call = asyncio.ensure_future(site.ask(1, WAITS))
        await asyncio.sleep(0)
        await site.pool.close()
        with pytest.raises(SlotLost):
            await call
        assert not [pid for pid in pids if lives(pid)]

    run(site_of(), scenario)
