"""Slots: how many computations run at a time, who is let in, and what becomes of each call."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from ai_platform.errors import ModelFailed, ModelNotReady, Overloaded
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.compute.pending import Call
from ai_platform.predictions.compute.slots import Compute, SlotLost, Slots
from ai_platform.predictions.model.placement import Placement
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs, Value
from ai_platform.settings import ApiSettings

Rows = list[list[Value]]
POISON = 13.0


def call_of(*numbers: float, batch_rows: int = 1) -> Call:
    placement = Placement(call_seconds=0.001, row_seconds=0.0, loop_rows=0, apart="threads", batch_rows=batch_rows)
    prepared = SimpleNamespace(served=SimpleNamespace(name="slots", version=1), placement=placement)
    instances = Instances([[number] for number in numbers], single=False)
    return Call(cast("PreparedModel", prepared), instances, asyncio.get_running_loop().create_future())


def doubled(rows: Rows) -> Outputs:
    return Outputs([2 * cast("float", row[0]) for row in rows])


async def answers(*calls: Call) -> list[object]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*(call.answer for call in calls), return_exceptions=True)


def predictions(answered: list[object]) -> list[object]:
    return [one.predictions if isinstance(one, Outputs) else type(one) for one in answered]


def with_slots(
    compute: Compute, scenario: Callable[[Slots], Awaitable[None]], capacity: int = 1, most: int = 50
) -> None:
    async def run() -> None:
        settings = ApiSettings(batch_rows=100, max_queue_length=most, wait_ms=10_000)
        await scenario(Slots("test", settings, lambda: capacity, compute))

    asyncio.run(run())


def test_no_more_computations_run_at_a_time_than_there_are_slots() -> None:
    running, most = 0, 0

    async def compute(_: PreparedModel, rows: Rows) -> Outputs:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return doubled(rows)

    async def scenario(slots: Slots) -> None:
        calls = [call_of(number) for number in range(7)]
        for call in calls:
            slots.submit(call)
        assert predictions(await answers(*calls)) == [[2 * number] for number in range(7)]
        assert most == 2

    with_slots(compute, scenario, capacity=2)


def test_one_call_beyond_the_longest_queue_is_refused_and_the_others_are_answered() -> None:
    async def compute(_: PreparedModel, rows: Rows) -> Outputs:
        return doubled(rows)

    async def scenario(slots: Slots) -> None:
        calls = [call_of(number) for number in range(3)]  # one is computed, two wait
        for call in calls:
            slots.submit(call)
        with pytest.raises(Overloaded, match="too many"):
            slots.submit(call_of(3))
        assert predictions(await answers(*calls)) == [[0], [2], [4]]

    with_slots(compute, scenario, most=2)


def test_one_row_that_raises_fails_alone_of_those_that_shared_its_computation() -> None:
    sizes: list[int] = []

    async def compute(_: PreparedModel, rows: Rows) -> Outputs:
        sizes.append(len(rows))
        if [POISON] in rows:
            raise ModelFailed("it raised")
        return doubled(rows)

    async def scenario(slots: Slots) -> None:
        calls = [call_of(number, batch_rows=100) for number in (0.0, 1.0, POISON, 2.0)]
        for call in calls:
            slots.submit(call)
        assert predictions(await answers(*calls)) == [[0], [2], ModelFailed, [4]]
        assert sizes == [1, 3, 1, 1, 1]

    with_slots(compute, scenario)


def test_a_call_that_ends_its_process_twice_is_not_tried_a_third_time() -> None:
    tries: list[Rows] = []

    async def compute(_: PreparedModel, rows: Rows) -> Outputs:
        tries.append(rows)
        raise SlotLost(counts=True)

    async def scenario(slots: Slots) -> None:
        call = call_of(POISON)
        slots.submit(call)
        assert predictions(await answers(call)) == [ModelFailed]
        assert len(tries) == 2

    with_slots(compute, scenario)


def test_a_call_whose_slot_was_lost_through_no_fault_of_its_own_is_tried_until_it_is_answered() -> None:
    losses = [SlotLost(counts=False) for _ in range(5)]

    async def compute(_: PreparedModel, rows: Rows) -> Outputs:
        if losses:
            raise losses.pop()
        return doubled(rows)

    async def scenario(slots: Slots) -> None:
        call = call_of(1.0)
        slots.submit(call)
        assert predictions(await answers(call)) == [[2]]
        assert not losses

    with_slots(compute, scenario)


def test_at_the_end_whoever_is_computed_and_whoever_waits_is_told() -> None:
    begun = asyncio.Event()

    async def compute(_: PreparedModel, rows: Rows) -> Outputs:
        begun.set()
        await asyncio.Event().wait()
        return doubled(rows)

    async def scenario(slots: Slots) -> None:
        calls = [call_of(1.0), call_of(2.0)]
        for call in calls:
            slots.submit(call)
        await begun.wait()
        await slots.close()
        assert predictions(await answers(*calls)) == [ModelNotReady, ModelNotReady]

    with_slots(compute, scenario)
