"""Where models are placed by what they were seen to cost, and what is said to compute processes."""

import hashlib
import math
import pickle
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_platform.predictions.compute import ipc
from ai_platform.predictions.model.placement import Placement, measure
from ai_platform.runtimes.base.runtime import Outputs, Rows

pytestmark = pytest.mark.quick

SECONDS = 0.004


class Trial:
    """A model that spends its time as it is told."""

    def __init__(self, spend: Callable[[int], object]) -> None:
        self._spend = spend

    def predict(self, rows: Rows) -> Outputs:
        self._spend(len(rows))
        return Outputs([0.0] * len(rows))


def spin(seconds: float) -> None:
    """Python's own work: the lock is held but for a moment every 5 ms."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def placed(spend: Callable[[int], object], *, releases_lock: bool = False) -> Placement:
    return measure(Trial(spend), [1.0], most_rows=1_024, releases_lock=releases_lock)


def test_a_cheap_model_stays_on_the_loop() -> None:
    assert placed(lambda _rows: None).place == "loop"


def test_a_costly_model_that_holds_the_lock_goes_to_processes() -> None:
    assert placed(lambda rows: spin(SECONDS * rows)).place == "processes"


def test_a_costly_model_that_releases_the_lock_goes_to_threads() -> None:
    text = bytes(4_000_000)
    assert placed(lambda rows: [hashlib.sha256(text) for _ in range(rows)]).place == "threads"


def test_what_a_runtime_says_of_the_lock_is_not_measured() -> None:
    assert placed(lambda rows: spin(SECONDS * rows), releases_lock=True).place == "threads"


def test_a_model_that_costs_by_the_call_gains_by_sharing_calls_and_one_that_costs_by_the_row_does_not() -> None:
    assert placed(lambda _rows: time.sleep(SECONDS), releases_lock=True).batch_rows > 100
    assert placed(lambda rows: time.sleep(SECONDS * rows), releases_lock=True).batch_rows == 1


def test_a_cheap_row_in_large_requests_leaves_the_loop() -> None:
    found = placed(lambda rows: time.sleep(0.0004 * rows), releases_lock=True)
    assert found.place == "loop"
    assert 1 <= found.loop_rows <= 2
    assert found.apart == "threads"


def test_a_model_that_takes_seconds_is_measured_with_few_calls() -> None:
    calls: list[int] = []

    def spend(rows: int) -> None:
        calls.append(rows)
        time.sleep(0.6)

    found = placed(spend, releases_lock=True)
    assert calls == [1]
    assert found.batch_rows == 1


def test_frames_are_put_together_from_any_pieces() -> None:
    messages = [ipc.Compute(number, "m", 1, [[random.random()] * number]) for number in range(20)]
    sent = b"".join(map(ipc.frame, messages))
    received, arriving = [], ipc.Frames()
    while sent:
        size = random.randint(1, 40)
        received += [ipc.questions.decode(whole) for whole in arriving.feed(sent[:size])]
        sent = sent[size:]
    assert received == messages


@given(st.lists(st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.text(), st.booleans(), st.none()), max_size=9))
def test_values_cross_to_a_process_and_back_as_they_are(values: list[float | int | str | bool | None]) -> None:
    question = ipc.Compute(1, "m", 1, [values])
    answer = ipc.Computed(1, 0.5, Outputs(list(values), None, [[0.1, 0.9]]))
    crossed = ipc.questions.decode(ipc.frame(question)[4:])
    answered = ipc.answers.decode(ipc.frame(answer)[4:])
    assert isinstance(crossed, ipc.Compute)
    assert isinstance(answered, ipc.Computed)
    for row in (crossed.rows[0], answered.outputs.predictions):
        assert len(row) == len(values)
        for ours, theirs in zip(row, values, strict=True):
            assert type(ours) is type(theirs)
            assert ours == theirs or (isinstance(theirs, float) and math.isnan(theirs))


def test_a_pickle_is_no_message() -> None:
    with pytest.raises(Exception, match=r"MessagePack|Expected|Invalid|trailing"):
        ipc.answers.decode(pickle.dumps(ipc.Ready()))
