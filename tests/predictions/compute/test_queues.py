"""What waits for a slot: whose turn it is, what is computed together, and how long a new call would wait."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ai_platform.errors import CallerLeft, DeadlineExceeded
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.compute.pending import Call
from ai_platform.predictions.compute.queues import Queues
from ai_platform.predictions.compute.wait_estimate import WaitEstimate, retry_after
from ai_platform.predictions.model.placement import Placement
from ai_platform.predictions.model.prepared import PreparedModel

pytestmark = pytest.mark.quick

BY_ROW = Placement(call_seconds=0.0, row_seconds=0.02, loop_rows=0, apart="threads", batch_rows=1)
BY_CALL = replace(BY_ROW, call_seconds=0.02, row_seconds=0.0, batch_rows=1_000)


Calls = Callable[..., Call]


@pytest.fixture
def call() -> Iterator[Calls]:
    """Makes calls."""
    loop = asyncio.new_event_loop()

    def one(model: str = "a", rows: int = 1, placement: Placement = BY_ROW, **more: Any) -> Call:
        prepared = SimpleNamespace(served=SimpleNamespace(name=model, version=1), placement=placement)
        instances = Instances([[1.0]] * rows, single=False)
        return Call(cast("PreparedModel", prepared), instances, loop.create_future(), **more)

    yield one
    loop.close()


def test_versions_take_turns_however_much_of_one_waits(call: Calls) -> None:
    queues = Queues(most_rows=1)
    for model in ("a", "a", "a", "a", "b", "c", "b"):
        queues.add(call(model))
    turns = [queues.take()[0].key[0] for _ in range(7)]
    assert turns == ["a", "b", "c", "a", "b", "a", "a"]
    assert queues.take() == []
    assert len(queues) == 0


def test_calls_share_a_computation_up_to_the_bound_of_rows(call: Calls) -> None:
    queues = Queues(most_rows=10)
    for rows in (4, 4, 4, 30, 1, 1):
        queues.add(call(rows=rows, placement=BY_CALL))
    assert [[one.rows for one in queues.take()] for _ in range(4)] == [[4, 4], [4], [30], [1, 1]]


def test_a_model_that_does_not_gain_is_computed_call_by_call(call: Calls) -> None:
    queues = Queues(most_rows=10)
    queues.add(call())
    queues.add(call())
    assert [len(queues.take()) for _ in range(2)] == [1, 1]


def test_what_was_put_back_is_computed_first_and_alone(call: Calls) -> None:
    queues = Queues(most_rows=10)
    group = [call(placement=BY_CALL), call(placement=BY_CALL)]
    queues.add(call(placement=BY_CALL))
    for one in group:
        one.isolated = True
    queues.put_back(group)
    assert queues.take() == [group[0]]
    assert queues.take() == [group[1]]
    assert len(queues) == 1


def test_what_nobody_waits_for_is_not_computed(call: Calls) -> None:
    queues = Queues(most_rows=1)
    late, left, given_up = call(deadline=time.monotonic()), call(is_gone=lambda: True), call()
    given_up.answer.cancel()
    wanted = call(deadline=time.monotonic() + 60, is_gone=lambda: False)
    for one in (late, left, given_up, wanted):
        queues.add(one)
    assert queues.take() == [wanted]
    assert isinstance(late.answer.exception(), DeadlineExceeded)
    assert isinstance(left.answer.exception(), CallerLeft)
    assert len(queues) == 0


def test_a_call_that_is_withdrawn_leaves_its_place(call: Calls) -> None:
    queues = Queues(most_rows=1)
    first, second = call(), call(rows=3)
    queues.add(first)
    queues.add(second)
    assert queues.remove(second)
    assert not queues.remove(second)
    found = queues.of(first.key)
    assert found is not None
    assert (found.rows, len(queues)) == (1, 1)


def test_a_wait_is_what_is_before_and_of_other_versions_only_their_turns(call: Calls) -> None:
    queues, estimate = Queues(most_rows=1), WaitEstimate()
    for one in [*(call("a") for _ in range(10)), call("b")]:
        estimate.usual(one)
        queues.add(one)
    assert estimate.wait(call("a"), queues) == pytest.approx(11 * 0.02)
    assert estimate.wait(call("b"), queues) == pytest.approx(3 * 0.02)
    assert estimate.wait(call("c"), queues) == pytest.approx(2 * 0.02)


def test_a_call_that_will_share_waits_for_none_of_those_it_shares_with(call: Calls) -> None:
    queues, estimate = Queues(most_rows=100), WaitEstimate()
    for _ in range(50):
        one = call(placement=BY_CALL)
        estimate.usual(one)
        queues.add(one)
    assert estimate.wait(call(placement=BY_CALL), queues) == 0
    assert estimate.wait(call(rows=90, placement=BY_CALL), queues) == pytest.approx(0.02)


def test_wait_estimates_follow_what_calls_take(call: Calls) -> None:
    estimate, one = WaitEstimate(), call()
    assert estimate.seconds([one]) == pytest.approx(0.02)
    for _ in range(30):
        estimate.note([one], 0.06)
    assert estimate.seconds([one]) == pytest.approx(0.06, rel=0.01)
    assert estimate.usual(one) == pytest.approx(0.06, rel=0.01)


def test_retries_are_spread_over_1_to_30_seconds() -> None:
    assert {retry_after(0.0) for _ in range(100)} == {1}
    assert {retry_after(0.4) for _ in range(200)} == {1, 2}
    assert {retry_after(1e6) for _ in range(10)} == {30}
