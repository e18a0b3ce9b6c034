"""Background loops survive what they raise, say and count it, and end when they are told to."""

import asyncio
import threading
import time

import pytest
from prometheus_client import REGISTRY

from ai_platform.processes.background import TaskLoop, ThreadLoop
from harness import eventually


def failures(name: str) -> float:
    return REGISTRY.get_sample_value("aip_loop_failures_total", {"loop": name}) or 0.0


class Step:
    """Raises the first times."""

    def __init__(self, failing: int) -> None:
        self.failing, self.calls = failing, 0

    def __call__(self) -> float:
        self.calls += 1
        if self.calls <= self.failing:
            raise ZeroDivisionError("of the step")
        return 0.001

    async def later(self) -> float:
        return self()


def test_a_thread_goes_on_after_what_its_step_raised_and_counts_it(capsys: pytest.CaptureFixture[str]) -> None:
    step, before = Step(failing=3), failures("t-survives")
    loop = ThreadLoop("t-survives", step, failure="not stepped", pause=0.001)
    loop.start()
    eventually(lambda: step.calls > 5, what="it goes on")
    loop.stop(5)
    assert failures("t-survives") == before + 3
    assert capsys.readouterr().out.count("not stepped") == 1, "the same failure again says nothing new"


def test_a_task_goes_on_after_what_its_step_raised_and_counts_it() -> None:
    step, before = Step(failing=3), failures("a-survives")

    async def run() -> None:
        loop = TaskLoop("a-survives", step.later, failure="not stepped", pause=0.001)
        loop.start()
        async with asyncio.timeout(5):
            while step.calls <= 5:  # noqa: ASYNC110  # the loop brings it about
                await asyncio.sleep(0.001)
        await loop.close()
        calls = step.calls
        await asyncio.sleep(0.01)
        assert step.calls == calls, "it has ended"

    asyncio.run(run())
    assert failures("a-survives") == before + 3


@pytest.mark.parametrize("started", [True, False])
def test_a_thread_that_waits_ends_at_once_after_its_last_step(*, started: bool) -> None:
    said: list[str] = []
    loop = ThreadLoop("t-ends", lambda: 60.0, failure="", pause=60.0, last=lambda: said.append("last"))
    if started:
        loop.start()
    begun = time.monotonic()
    loop.stop(5)
    assert time.monotonic() - begun < 5
    assert said == (["last"] if started else [])


def test_what_the_last_step_raises_is_counted_too() -> None:
    def last() -> None:
        raise OSError("the disk is full")

    before = failures("t-last")
    loop = ThreadLoop("t-last", lambda: 60.0, failure="not written", pause=60.0, last=last)
    loop.start()
    loop.stop(5)
    assert failures("t-last") == before + 1


def test_a_loop_in_the_calling_thread_ends_with_an_event_of_the_callers() -> None:
    stop, step = threading.Event(), Step(failing=0)

    def stepping() -> float:
        if step.calls == 3:
            stop.set()
        return step()

    loop = ThreadLoop("t-here", stepping, failure="", pause=0.0)
    loop.stopping = stop
    loop.run()
    assert step.calls == 4


def test_a_step_that_asks_redis_is_cancelled_again_when_it_loses_a_cancellation() -> None:
    async def connecting() -> float:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        return 0.0

    async def play() -> float:
        loop = TaskLoop("a-redis", connecting, failure="", pause=0.0, asks_redis=True)
        loop.start()
        await asyncio.sleep(0)
        begun = time.monotonic()
        await loop.close()
        assert loop._task is not None
        assert loop._task.cancelled()
        return time.monotonic() - begun

    assert asyncio.run(play()) < 4


def test_what_another_step_does_at_its_end_is_not_cut_off() -> None:
    said: list[str] = []

    async def cleaning() -> float:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.4)
            said.append("cleaned")
        return 0.0

    async def play() -> None:
        loop = TaskLoop("a-cleans", cleaning, failure="", pause=0.0)
        loop.start()
        await asyncio.sleep(0)
        await loop.close()

    asyncio.run(play())
    assert said == ["cleaned"]
