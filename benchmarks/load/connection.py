"""One kept HTTP/1.1 connection with at most one request under way."""

import asyncio
from collections.abc import Callable
from typing import cast

# In place of a status, where there is none.
LOST, REFUSED, UNANSWERED = 0, -1, -2
NAMES = {LOST: "lost", REFUSED: "refused", UNANSWERED: "unanswered"}


class Connection(asyncio.Protocol):
    """Sends requests, and tells how each ended.

    Args:
        ended: called with the status, or LOST if the connection broke while an answer was awaited.

    Attributes:
        usable: whether another request can be sent over it.
        answer: the last that came, with its head; empty if none did.
    """

    def __init__(self, ended: Callable[["Connection", int], None]) -> None:
        self._ended = ended
        self._buffer = b""
        self._awaited = False
        self._transport: asyncio.Transport
        self.usable = False
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def send(self, request: bytes) -> None:
        """Send one; the one before has ended."""
        self._awaited = True
        self.answer = b""
        self._transport.write(request)

    def close(self) -> None:
        """Nothing more is sent over it; what was awaited is not reported any more."""
        self._awaited = self.usable = False
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        head = buffer[:end].lower() if end >= 0 else b""
        if end < 0 or len(buffer) < end + 4 + _length(head):
            self._buffer = buffer
            return
        self._buffer = b""
        self._awaited = False
        if b"\r\nconnection: close" in head:
            self.usable = False
            self._transport.close()
        self.answer = buffer
        self._ended(self, int(head[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self.usable = False
        if self._awaited:
            self._awaited = False
            self._ended(self, LOST)


def _length(head: bytes) -> int:
    _, named, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if named else 0
