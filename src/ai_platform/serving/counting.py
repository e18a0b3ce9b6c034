"""Bringing what requests were counted in to the metrics, where other processes and `/metrics` see it."""

from ai_platform.processes.background import TaskLoop
from ai_platform.telemetry import flush_tallies

FLUSH_SECONDS = 1.0


class Counting:
    """Flushes this process's tallies every second, on the event loop that counts in them."""

    def __init__(self) -> None:
        self._loop = TaskLoop("counting", self._flush, failure="requests not counted", pause=FLUSH_SECONDS)

    def start(self) -> None:
        """Begin to flush."""
        self._loop.start()

    async def close(self) -> None:
        """Flush once more, and stop."""
        await self._loop.close()
        flush_tallies()

    async def _flush(self) -> float:
        flush_tallies()
        return FLUSH_SECONDS
