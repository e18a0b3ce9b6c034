"""The slots of one place: so many computations at a time, a bounded wait for them, and what becomes of each call."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from ai_platform.errors import DeadlineExceeded, ModelFailed, ModelNotReady, Overloaded, PlatformError
from ai_platform.predictions.compute.pending import Call
from ai_platform.predictions.compute.queues import Queues
from ai_platform.predictions.compute.wait_estimate import WaitEstimate, retry_after
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs, Value
from ai_platform.settings import ApiSettings
from ai_platform.telemetry import MICRO_BATCH, PREDICTIONS_REFUSED, PREDICTIONS_WAITING, logger

log = logger(__name__)

# Calls of a costly model that may wait beside one a slot. Who is let in at ten times the capacity waits less than twice
# as long as one in a hundred does at 0.8 of it: with Poisson arrivals and calls of one length those wait 10 calls' time
# for one slot, 5 for two; what is left is for calls that take longer than usual (docs/adr/0021).
_CALLS_WAITING = 6
# However long that is: a caller has usually left by then.
_LONGEST_WAIT = 10.0
# A wait that was expected to be short, and is not: a call before it hangs.
_PATIENCE = 30.0
_MOST_DEATHS = 2

Compute = Callable[[PreparedModel, list[list[Value]]], Awaitable[Outputs]]


class SlotLost(Exception):
    """What computed a call is gone.

    Attributes:
        counts: whether the call may have been the cause.
    """

    def __init__(self, *, counts: bool) -> None:
        super().__init__()
        self.counts = counts


class Slots:
    """Computes calls, as many at a time as there are slots. Used on the event loop alone.

    Args:
        place: its name, for metrics.
        settings: how many and how long calls may wait, and how many rows share a call.
        capacity: how many slots there are now.
        compute: computes rows of one version in a slot. What it raises of `PlatformError` is the answer; `SlotLost`
            means that it is to be tried again.
    """

    def __init__(self, place: str, settings: ApiSettings, capacity: Callable[[], int], compute: Compute) -> None:
        self._most_calls = settings.max_queue_length
        self._least_wait = settings.wait_ms / 1_000
        self._capacity = capacity
        self._compute = compute
        self._queues = Queues(settings.batch_rows)
        self._wait_estimate = WaitEstimate()
        # Each running computation, with when it began and how long it was expected to take.
        self._running: dict[asyncio.Task[None], tuple[float, float]] = {}
        self._gauge = PREDICTIONS_WAITING.labels(place)

    def submit(self, call: Call) -> None:
        """Compute a call now, or let it wait.

        Raises:
            Overloaded: too many wait, or it would wait too long, or beyond its deadline.
        """
        wait = self.admit(call)
        self._set_timer(call, wait)
        self._queues.add(call)
        self.fill()
        self._gauge.set(len(self._queues))

    def fill(self) -> None:
        """Begin what waits, as long as a slot is free."""
        while self._queues and len(self._running) < self._capacity():
            group = self._queues.take()
            if group:
                MICRO_BATCH.labels(group[0].key[0]).observe(len(group))
                task = asyncio.get_running_loop().create_task(self._run(group))
                self._running[task] = (time.monotonic(), self._wait_estimate.seconds(group))
        self._gauge.set(len(self._queues))

    def withdraw(self, call: Call) -> None:
        """Its caller no longer waits."""
        if self._queues.remove(call):
            call.count_abandoned("left")
            self._gauge.set(len(self._queues))

    def drain(self) -> list[Call]:
        """All that waits, taken out."""
        calls = self._queues.drain()
        for call in calls:
            call.stop_timer()
        self._gauge.set(0)
        return calls

    async def close(self) -> None:
        """Begin nothing any more; whoever still waits is told."""
        for call in self.drain():
            call.fail(ModelNotReady("the server is stopping"))
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def admit(self, call: Call) -> float:
        """Seconds that a new call is expected to wait; it is not taken on yet.

        Raises:
            Overloaded: too many wait, or it would wait too long, or beyond its deadline.
        """
        queue = self._queues.of(call.key)
        if queue is not None and len(queue.calls) >= self._most_calls:
            raise self._refusal(call, "full", self._wait(call))
        wait = self._wait(call)
        usual = self._wait_estimate.usual(call)
        allowed = usual * (1 + _CALLS_WAITING / max(1, self._capacity()))
        if wait > max(self._least_wait, min(allowed, _LONGEST_WAIT)):
            raise self._refusal(call, "wait", wait)
        if call.deadline is not None and time.monotonic() + wait >= call.deadline:
            raise self._refusal(call, "deadline", wait)
        return wait

    def _set_timer(self, call: Call, wait: float) -> None:
        loop = asyncio.get_running_loop()
        left = None if call.deadline is None else max(0.0, call.deadline - time.monotonic())
        if left is not None and left <= _PATIENCE:
            call.timer = loop.call_later(left, partial(self._expire, call))
        elif wait > 0:
            call.timer = loop.call_later(_PATIENCE, partial(self._lose_patience, call))

    def _wait(self, call: Call) -> float:
        """Seconds until a new call is begun, as far as can be told."""
        slots = self._capacity()
        if len(self._running) < slots and not self._queues:
            return 0.0
        now = time.monotonic()
        # What takes longer than expected is expected to take a little longer still.
        running = sum(max(begun + seconds - now, 0.1 * seconds) for begun, seconds in self._running.values())
        return (running + self._wait_estimate.wait(call, self._queues)) / max(1, slots)

    @staticmethod
    def _refusal(call: Call, reason: str, wait: float) -> Overloaded:
        PREDICTIONS_REFUSED.labels(call.key[0], reason).inc()
        if reason == "deadline":
            return Overloaded("the prediction would wait beyond its deadline; try again", retry_after(wait))
        return Overloaded("too many predictions wait; try again", retry_after(wait))

    def _expire(self, call: Call) -> None:
        call.timer = None
        error = DeadlineExceeded("the deadline passed before the prediction was made")
        if self._queues.remove(call):
            call.abandon("deadline", error)
            self._gauge.set(len(self._queues))
        else:
            call.fail(error)

    def _lose_patience(self, call: Call) -> None:
        call.timer = None
        if self._queues.remove(call):
            call.abandon("wait", Overloaded("the prediction waited too long; try again", retry_after(_PATIENCE)))
            self._gauge.set(len(self._queues))

    async def _run(self, group: list[Call]) -> None:
        begun = time.monotonic()
        try:
            rows = (
                group[0].instances.rows if len(group) == 1 else [row for call in group for row in call.instances.rows]
            )
            outputs = await self._compute(group[0].prepared, rows)
        except SlotLost as lost:
            self._try_again(group, died=lost.counts)
        except PlatformError as error:
            self._fail(group, error)
        except asyncio.CancelledError:
            for call in group:
                call.fail(ModelNotReady("the server is stopping"))
        except Exception:
            log.exception("prediction failed", model=group[0].key[0], version=group[0].key[1])
            self._fail(group, PlatformError("an error of the server; its log has the request id"))
        else:
            self._wait_estimate.note(group, time.monotonic() - begun)
            _split(group, outputs)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._running.pop(task, None)
            self.fill()

    def _fail(self, group: list[Call], error: PlatformError) -> None:
        """Tell the caller; or, of several, find out whose fault it is."""
        if len(group) == 1:
            group[0].fail(error)
            return
        for call in group:
            call.isolated = True
        self._queues.put_back(group)

    def _try_again(self, group: list[Call], *, died: bool) -> None:
        """Each by itself, so that a row that kills its process takes no other with it a second time."""
        again = []
        for call in group:
            call.isolated = call.isolated or died
            call.deaths += died
            if call.deaths >= _MOST_DEATHS:
                call.fail(ModelFailed("the model ended the process that computed it, twice"))
            else:
                again.append(call)
        self._queues.put_back(again)


def _split(group: list[Call], outputs: Outputs) -> None:
    if len(group) == 1:
        group[0].give(outputs)
        return
    start = 0
    for call in group:
        call.give(outputs.slice(start, start + call.rows))
        start += call.rows
