"""Background loops: a step that is repeated for as long as a process lives, in a thread or on the event loop.

A step returns the seconds until the next one. What it raises is logged and counted, and the next step comes all the
same, after a pause.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from ai_platform.telemetry import LOOP_FAILURES, logger

log = logger(__name__)

_CANCELLATIONS = 20
_CANCELLATION_SECONDS = 0.25


class _Failures:
    """Tells of the failures of one loop; the same one again is counted, and said once."""

    def __init__(self, name: str, failure: str) -> None:
        self._name, self._failure, self._said = name, failure, ""

    def note(self, error: Exception) -> None:
        LOOP_FAILURES.labels(self._name).inc()
        why = f"{type(error).__name__}: {error}"
        if why != self._said:
            log.warning(self._failure, loop=self._name, why=why)
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
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[float]], *, failure: str, pause: float) -> None:
        self._step, self._pause = step, pause
        self._failures = _Failures(name, failure)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Cancel the step that runs."""
        if self._task is not None:
            await cancel(self._task)

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


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task until it ends: redis-py loses a cancellation that comes while it connects."""
    for _ in range(_CANCELLATIONS):
        task.cancel()
        await asyncio.wait([task], timeout=_CANCELLATION_SECONDS)
        if task.done():
            return
