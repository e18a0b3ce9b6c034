"""Bringing what requests were counted in to the metrics, where other processes and `/metrics` see it."""

import asyncio
import contextlib

from ai_platform.telemetry import LOOP_FAILURES, flush_tallies, logger

log = logger(__name__)

FLUSH_SECONDS = 1.0


class Counting:
    """Flushes this process's tallies every second, on the event loop that counts in them."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush."""
        self._task = asyncio.get_running_loop().create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Flush once more, and stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        flush_tallies()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                flush_tallies()
            except Exception as error:  # noqa: BLE001  # the loop must live; the failure is logged and counted
                LOOP_FAILURES.labels("counting").inc()
                log.warning("requests not counted", why=str(error))
