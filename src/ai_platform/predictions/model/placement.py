"""Where a model is computed, decided by what it was seen to cost when it was loaded, and not by its kind."""

import sys
import time
from dataclasses import dataclass
from typing import Literal

from ai_platform.predictions.model.gil import holds_gil
from ai_platform.runtimes.base.runtime import LoadedModel, Rows, Value

Place = Literal["loop", "threads", "processes"]

# Below this, handing a call to another thread costs more than the call; above it, the loop must not be held up.
LOOP_SECONDS = 0.001
# A thread that holds the GIL delays the loop. What cannot hold it for longer than this may as well.
HELD_SECONDS = 0.005
# Requests are computed together only where that saves a quarter of the time or more.
GAIN = 0.75
# One call of a micro-batch takes no longer than this, or than two calls of one row: the next model's turn comes after.
BATCH_SECONDS = 0.025
_ROUNDS, _FEWEST_ROUNDS = 7, 3
_ROUNDS_SECONDS = 0.1
# Rows of the batch that is tried, and of one that would take longer than the rounds; of a model whose row takes longer
# than half a second, none is: loading must not take minutes.
_BATCH, _SMALL_BATCH = 16, 4
_LONGEST_ROW = 0.5


@dataclass(frozen=True, slots=True)
class Placement:
    """What calls of a model cost and where they are computed.

    Attributes:
        call_seconds: what a call costs whatever its rows.
        row_seconds: what each row adds.
        loop_rows: most rows that are computed on the event loop; 0 when even one is too costly.
        apart: where requests of more rows are computed.
        batch_rows: most rows that waiting requests share in one call; 1 when the model does not gain by it.
    """

    call_seconds: float
    row_seconds: float
    loop_rows: int
    apart: Literal["threads", "processes"]
    batch_rows: int

    @property
    def place(self) -> Place:
        """Where a request of one row is computed."""
        return "loop" if self.loop_rows else self.apart

    def seconds(self, rows: int) -> float:
        """What a call of so many rows is expected to take."""
        return self.call_seconds + rows * self.row_seconds


def measure(loaded: LoadedModel, row: list[Value], *, most_rows: int, releases_lock: bool) -> Placement:
    """Place a model by trying it; takes about half a second at most, or a few calls of a slow model.

    Args:
        loaded: the model; it was called before, so that nothing of this is its first call.
        row: a row that it predicts.
        most_rows: rows that one request may have.
        releases_lock: whether its runtime is known to compute without the GIL; otherwise it is measured.
    """
    one = _least_seconds(loaded, [row])
    size = 1 if one > _LONGEST_ROW else max(_SMALL_BATCH, min(_BATCH, int(_ROUNDS_SECONDS / max(one, 1e-9))))
    batch = one if size == 1 else _least_seconds(loaded, [row] * size)
    row_seconds = one if size == 1 else min(one, max(0.0, (batch - one) / (size - 1)))
    call_seconds = max(0.0, one - row_seconds)
    longest = call_seconds + most_rows * row_seconds
    apart: Literal["threads", "processes"] = "threads"
    if not releases_lock and longest > HELD_SECONDS:
        rows = [row] * max(1, min(most_rows, _fitting(call_seconds, row_seconds, 2 * HELD_SECONDS)))
        apart = "processes" if holds_gil(lambda: loaded.predict(rows)) else "threads"
    gains = size > 1 and batch < GAIN * size * one
    return Placement(
        call_seconds,
        row_seconds,
        loop_rows=min(most_rows, _fitting(call_seconds, row_seconds, LOOP_SECONDS)) if one < LOOP_SECONDS else 0,
        apart=apart,
        batch_rows=max(2, _fitting(call_seconds, row_seconds, max(BATCH_SECONDS, 2 * one))) if gains else 1,
    )


def _fitting(call_seconds: float, row_seconds: float, seconds: float) -> int:
    """How many rows are computed within so many seconds."""
    if row_seconds <= 0:
        return sys.maxsize
    return max(0, int((seconds - call_seconds) / row_seconds))


def _least_seconds(loaded: LoadedModel, rows: Rows) -> float:
    """What a call costs when nothing disturbs it: the least of 7, of 3 when they take long, of 1 when very long."""
    times: list[float] = []
    until = time.perf_counter() + _ROUNDS_SECONDS
    while len(times) < _ROUNDS and (time.perf_counter() < until or len(times) < _FEWEST_ROUNDS):
        begun = time.perf_counter()
        loaded.predict(rows)
        times.append(time.perf_counter() - begun)
        if times[-1] > _ROUNDS_SECONDS:
            break
    return min(times)
