"""How an API process ends: what was sent to it is answered, and who may send again is told not to send here.

A server that closes an idle connection may cross a request on its way, which is then lost without a word. So an idle
connection is not closed: it is given time to send once more, and is answered with `Connection: close`.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Literal, Protocol

import uvicorn

from ai_platform.settings import ApiSettings
from ai_platform.telemetry import logger

log = logger(__name__)

LOOK_SECONDS = 0.02
# After Ctrl-C, or when nobody else will answer on this port: how long an idle connection is given all the same.
HURRIED_SECONDS = 1.0

# For the application to let go of threads and connections, once nobody is left to answer.
CLOSE_SECONDS = 10.0

Word = Literal["serving", "draining"]


class Lifecycle:
    """What the server, its connections and the application of one process know of its beginning and its end.

    Attributes:
        ending: whether it drains: readiness is refused, and each answer is the last of its connection.
        patience: seconds that it waits at its start until it can answer, before it accepts; 0 when it is alone on its
            port, where a refusal says more than silence.
        on_ending: what is called when it begins to drain, in the event loop.
    """

    __slots__ = ("ending", "on_ending", "patience")

    def __init__(self) -> None:
        self.ending = False
        self.patience = 0.0
        self.on_ending: list[Callable[[], None]] = []


class Connection(Protocol):
    """What draining needs of a connection."""

    def shutdown(self) -> None:
        """Make the answer that is being worked on the last one."""

    def close_if_idle(self) -> None:
        """Close it, unless a request is being received or answered."""


class DrainingServer(uvicorn.Server):
    """uvicorn's server with an end of our own.

    Args:
        config: uvicorn's configuration.
        lifecycle: of this process; it is shared with the application and the protocol class.
        settings: for how long it refuses readiness before it stops accepting, and how long open requests have.
        tell: called when it serves, and when it begins to drain.
    """

    def __init__(
        self, config: uvicorn.Config, lifecycle: Lifecycle, settings: ApiSettings, tell: Callable[[Word], None]
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._settings = settings
        self.tell = tell
        self._asked: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal asks for the end: SIGTERM in order, SIGINT soon, SIGHUP because a successor is there already."""
        super().handle_exit(sig, frame)
        self._lifecycle.ending = True
        self._asked = sig

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # the servers hold them
        """Answer what is under way, accept nothing more, and end when no connection is left or the time is up."""
        self._lifecycle.ending = True
        self.tell("draining")
        for connection in self._connections():
            connection.shutdown()
        for notify in self._lifecycle.on_ending:
            notify()
        if self._asked == signal.SIGTERM and self._settings.shutdown_delay_seconds:
            await self._wait(lambda: False, self._settings.shutdown_delay_seconds)
        for server in self.servers:
            server.close()
        await asyncio.sleep(LOOK_SECONDS)  # for connections that were accepted just now to begin
        await self._drain()
        for task in self.server_state.tasks:
            task.cancel(msg="the time to drain is over")
        if not self.force_exit:
            await self._close()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.lifespan.shutdown()
        except TimeoutError:
            log.error("the application did not close in time; it is left as it is", seconds=CLOSE_SECONDS)

    async def _drain(self) -> None:
        seconds = self._settings.drain_seconds
        patience = seconds if self._asked in {signal.SIGTERM, signal.SIGHUP} else min(seconds, HURRIED_SECONDS)
        if not await self._wait(self._is_quiet, patience):
            await self._wait(self._is_quiet_without_idle, seconds - patience)

    async def _wait(self, over: Callable[[], bool], seconds: float) -> bool:
        """Whether it was over within that time."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + seconds
        while not over():
            if self.force_exit or loop.time() >= limit:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _is_quiet(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks

    def _is_quiet_without_idle(self) -> bool:
        for connection in self._connections():
            connection.close_if_idle()
        return self._is_quiet()

    def _connections(self) -> list[Connection]:
        connections: set[Connection] = self.server_state.connections  # type: ignore[assignment]
        return list(connections)
