"""Background loops: a step that is repeated for as long as a process lives, in a thread or on the event loop.

A step returns the seconds until the next one. What it raises is logged and counted, and the next step comes all the
same, after a pause.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

from ai_platform.telemetry import LOOP_FAILURES, logger

log = logger(__name__)

_CLOSE_SECONDS = 5.0
_AGAIN_SECONDS = 0.25


class _Failures:
    """Tells of the failures of one loop, with their notes; the same one again is counted, and said once."""

    def __init__(self, name: str, failure: str) -> None:
        self._name, self._failure, self._said = name, failure, ""

    def note(self, error: Exception) -> None:
        LOOP_FAILURES.labels(self._name).inc()
        why = f"{type(error).__name__}: {error}"
        if why != self._said:
            notes = getattr(error, "__notes__", ())  # what a step says of it beside, such as how much it concerns
            log.warning(self._failure, loop=self._name, why=why, **({"note": "; ".join(notes)} if notes else {}))
        self._said = why

    def forget(self) -> None:
        self._said = ""


class ThreadLoop:
    """Repeats a step in a thread of its own.

    Args:
        name: of the loop, in its metric and of its thread.
        step: what is repeated; gives the seconds until the next time.
        failure: what is logged when it raises (`keys not read`).
        pause: seconds after a failure.
        last: called once in the end, in the same thread; what it raises is logged and counted too.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        *,
        failure: str,
        pause: float,
        last: Callable[[], object] = lambda: None,
    ) -> None:
        self._step, self._last, self._pause = step, last, pause
        self._failures = _Failures(name, failure)
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)
        self.stopping = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Let it end with the step that runs, and wait for that at most so many seconds."""
        self.stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=seconds)

    def run(self) -> None:
        """Repeat the step in the calling thread until `stopping` is set."""
        while not self.stopping.is_set():
            self.stopping.wait(max(0.0, self._round()))
        try:
            self._last()
        except Exception as error:  # noqa: BLE001  # it is the end; the failure is logged and counted
            self._failures.note(error)

    def _round(self) -> float:
        try:
            pause = self._step()
        except Exception as error:  # noqa: BLE001  # the loop must live; the failure is logged and counted
            self._failures.note(error)
            return self._pause
        self._failures.forget()
        return pause


class TaskLoop:
    """Repeats a step on the event loop.

    Args:
        name: of the loop, in its metric.
        step: what is repeated; gives the seconds until the next time.
        failure: what is logged when it raises.
        pause: seconds after a failure.
        asks_redis: whether the step does. redis-py loses a cancellation that comes while it connects, so such a step is
            cancelled again until it ends; to others that would cut off what they do at their end.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        *,
        failure: str,
        pause: float,
        asks_redis: bool = False,
    ) -> None:
        self._step, self._pause = step, pause
        self._seconds_to_end = _AGAIN_SECONDS if asks_redis else _CLOSE_SECONDS
        self._failures = _Failures(name, failure)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Cancel the step that runs, and wait for its end, five seconds at most."""
        until = time.monotonic() + _CLOSE_SECONDS
        while self._task is not None and not self._task.done() and time.monotonic() < until:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=self._seconds_to_end)

    async def _run(self) -> None:
        while True:
            try:
                pause = await self._step()
            except Exception as error:  # noqa: BLE001  # the loop must live; the failure is logged and counted
                self._failures.note(error)
                pause = self._pause
            else:
                self._failures.forget()
            await asyncio.sleep(pause)
