"""Accepting connections: at once, however busy the loop is, and on a shared port so that each process gets its part.

libuv accepts one connection in each round of its loop. While those that it has already send one request after another,
a round takes milliseconds, and of 64 callers who connect together the last one waited a quarter of a second. So what
waits is accepted in one go here.

Of several processes on a port all are woken by a new connection, and whoever is quickest takes it: of 16 that arrive
together, one process was seen to take all. A caller keeps its connection, so that would last. Here a process that holds
more than another lets a millisecond pass before it takes one more.
"""

import asyncio
import errno
import mmap
import socket
import sys
from collections.abc import Callable

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from ai_platform.api.draining import DrainingServer, Lifecycle, Word
from ai_platform.api.server.listening import listen
from ai_platform.errors import StackError
from ai_platform.settings import ApiSettings
from ai_platform.telemetry import LOOP_FAILURES, logger

log = logger(__name__)

COURTESY_SECONDS = 0.001
# After accepting has failed, for want of file descriptors say.
PAUSE_SECONDS = 1.0
NOT_SERVING = -1
# Connections that are accepted before others get their turn.
MOST_IN_A_GO = 64


class Counts:
    """How many connections the process of each number holds, in memory that a parent shares with its children.

    Args:
        numbers: the most that live at a time.
    """

    def __init__(self, numbers: int) -> None:
        self._held = memoryview(mmap.mmap(-1, 4 * numbers)).cast("i")
        for number in range(numbers):
            self.clear(number)

    def set(self, number: int, count: int) -> None:
        """Say how many a process holds."""
        self._held[number] = count

    def clear(self, number: int) -> None:
        """Say that it takes no more."""
        self._held[number] = NOT_SERVING

    def fewest(self) -> int:
        """Of those that accept, the least that one holds."""
        return min((count for count in self._held if count != NOT_SERVING), default=0)


class Acceptor:
    """Takes connections; a server in uvicorn's sense, which can only be closed.

    Args:
        sockets: that accept already; its own copies of them.
        make: the protocol of a new connection.
        counts: of all processes.
        number: of this one.
        held: how many connections it holds.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        make: Callable[[], asyncio.Protocol],
        counts: Counts,
        number: int,
        held: Callable[[], int],
    ) -> None:
        self._sockets = sockets
        self._make = make
        self._counts = counts
        self._number = number
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[object]] = set()
        self._is_open = True
        self.tell()
        for listening in sockets:
            self._loop.add_reader(listening, self._arrived, listening)

    def tell(self) -> None:
        """Tell the others how many connections are held here."""
        if self._is_open:
            self._counts.set(self._number, self._held() + len(self._beginning))

    def close(self) -> None:
        """Take no more; the arbiter's copies of the sockets stay open."""
        self._is_open = False
        self._counts.clear(self._number)
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()

    def _arrived(self, listening: socket.socket) -> None:
        self.tell()
        if self._holds_more():
            self._pause(listening, COURTESY_SECONDS)
            return
        for _ in range(MOST_IN_A_GO):
            if not self._take(listening) or self._holds_more():
                return

    def _holds_more(self) -> bool:
        return self._held() + len(self._beginning) > self._counts.fewest()

    def _pause(self, listening: socket.socket, seconds: float) -> None:
        self._loop.remove_reader(listening)
        self._loop.call_later(seconds, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if self._is_open:
            self._loop.add_reader(listening, self._arrived, listening)
            self._take(listening)

    def _take(self, listening: socket.socket) -> bool:
        """Accept one; False when there is none."""
        try:
            accepted, _ = listening.accept()
        except BlockingIOError:
            return False  # or another took it
        except OSError as error:
            if error.errno != errno.ECONNABORTED:
                LOOP_FAILURES.labels("accept").inc()
                log.warning("no connection can be accepted", why=error.strerror)
                self._pause(listening, PAUSE_SECONDS)
            return False
        accepted.settimeout(0)
        if _has_left(accepted):
            accepted.close()
            return True
        begin = self._loop.create_task(self._loop.connect_accepted_socket(self._make, accepted))
        self._beginning.add(begin)
        begin.add_done_callback(self._begun)
        self.tell()
        return True

    def _begun(self, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a connection could not be begun", why=str(task.exception()))


def _has_left(accepted: socket.socket) -> bool:
    """Whether the caller closed it before its turn came; in a flood of such, others do not wait for each of them."""
    try:
        return accepted.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class SharingServer(DrainingServer):
    """The server of a process, alone on its port or one of several.

    Args:
        config: uvicorn's configuration.
        lifecycle: of this process.
        settings: how it ends.
        tell: called when it serves, and when it begins to drain.
        counts: the connections of all processes on the port.
        number: this one's place among them.
    """

    def __init__(  # noqa: PLR0917
        self, config: uvicorn.Config, lifecycle: Lifecycle, settings: ApiSettings, tell: Callable[[Word], None],
        counts: Counts, number: int,
    ) -> None:  # fmt: skip
        super().__init__(config, lifecycle, settings, tell)
        self._counts = counts
        self._number = number
        self._acceptor: Acceptor | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and then accept.

        Raises:
            StackError: without sockets of a parent, and the address cannot be had.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        try:
            listening = sockets or listen(self.config.host, self.config.port)
        except StackError:
            await self.lifespan.shutdown()
            raise
        connections = self.server_state.connections
        self._acceptor = Acceptor(listening, self._protocol, self._counts, self._number, lambda: len(connections))
        self.servers = [self._acceptor]  # type: ignore[list-item]  # which are only closed
        self.started = True
        self.tell("serving")

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: tell the others of connections that have ended, too."""
        if self._acceptor is not None:
            self._acceptor.tell()
        return await super().on_tick(counter)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        return made
