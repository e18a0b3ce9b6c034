"""A TCP proxy that a test can break: between one process and PostgreSQL or Valkey, put there by URL."""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
LONGEST_ANSWER = 1_048_576
START_SECONDS = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST


class TcpProxy:
    """Relays bytes, in a thread of its own, until a test says otherwise.

    Args:
        url: of the server behind it; `self.url` is the same with the proxy's port.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._connections: set[_Connection] = set()
        self._relaying = asyncio.Event()
        self._relaying.set()
        self._cut: tuple[re.Pattern[bytes], bytes | None, threading.Event] | None = None
        self._cut_after: tuple[int, threading.Event] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)
        self._listening = threading.Event()
        self._port = 0
        self._thread.start()
        assert self._listening.wait(START_SECONDS)
        host = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{host}{'@' if host else ''}127.0.0.1:{self._port}"))

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def relay(self) -> None:
        """Be an honest proxy again; what was in a black hole is reset, because bytes are missing there."""
        self._do(self._relay)

    def blackhole(self) -> None:
        """Keep every socket open, take new ones, and relay nothing."""
        self._do(self._relaying.clear)

    def reset(self) -> None:
        """Break every connection with RST; new ones are relayed."""
        self._do(self._reset_all)

    def cut_answer(self, pattern: bytes, unless: bytes | None = None) -> threading.Event:
        """Break the connection whose next answer matches: the server has done it, and the client never hears of it.

        Args:
            pattern: regular expression, searched in everything that the server sent since the client's last bytes.
            unless: bytes that, found in that answer, make it another one.

        Returns:
            set once it was done.
        """
        done = threading.Event()
        self._do(lambda: setattr(self, "_cut", (re.compile(pattern, re.DOTALL), unless, done)))
        return done

    def cut_after(self, count: int) -> threading.Event:
        """Break the connection that next carries this many bytes of answers, in the middle of one."""
        done = threading.Event()
        self._do(lambda: setattr(self, "_cut_after", (count, done)))
        return done

    def spare(self) -> None:
        """Forget what was to be cut."""
        self._do(self._forget)

    def close(self) -> None:
        self._do(self._reset_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)

    def answered(self, connection: "_Connection", data: bytes) -> bytes | None:
        """What of an answer is passed on; None when the connection is to be broken."""
        if self._cut is not None:
            pattern, unless, done = self._cut
            if pattern.search(connection.answer) and (unless is None or unless not in connection.answer):
                self._cut = None
                done.set()
                return None
        if self._cut_after is not None:
            left, done = self._cut_after
            if len(data) >= left:
                self._cut_after = None
                done.set()
                connection.writer.write(data[:left])
                return None
            self._cut_after = (left - len(data), done)
        return data

    def _do(self, change: Callable[[], None]) -> None:
        done = threading.Event()

        def change_and_say_so() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(change_and_say_so)
        assert done.wait(START_SECONDS)

    def _forget(self) -> None:
        self._cut = self._cut_after = None

    def _relay(self) -> None:
        if not self._relaying.is_set():
            self._relaying.set()
            self._reset_all()

    def _reset_all(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            await self._relaying.wait()
            behind, beyond = await asyncio.open_connection(*self._target)
            connection.beyond = beyond
            pumps = [
                asyncio.create_task(self._ask(connection, reader, beyond)),
                asyncio.create_task(self._answer(connection, behind, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _ask(self, connection: "_Connection", reader: asyncio.StreamReader, beyond: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._relaying.wait()
                connection.answer = b""
                beyond.write(data)
                await beyond.drain()

    async def _answer(
        self, connection: "_Connection", behind: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await behind.read(CHUNK):
                await self._relaying.wait()
                connection.answer = (connection.answer + data)[-LONGEST_ANSWER:]
                passed = self.answered(connection, data)
                if passed is None:
                    connection.reset()
                    return
                writer.write(passed)
                await writer.drain()


class _Connection:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.beyond: asyncio.StreamWriter | None = None
        self.answer = b""

    def reset(self) -> None:
        for writer in (self.writer, self.beyond):
            if writer is not None and not writer.transport.is_closing():
                opened = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def close(self) -> None:
        for writer in (self.writer, self.beyond):
            if writer is not None:
                writer.close()
