"""A connection that is closed without losing the answer that was just written to it."""

import asyncio
import select
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 1.0
# What a caller may still send in that time; beyond it nothing is read, and the caller has to wait.
LINGER_BYTES = 8 * 1024 * 1024


class LingeringTransport:
    """Passes everything on to a transport, but closes it in two steps while the caller still sends.

    A socket that is closed with unread input resets the connection, and the reset may overtake the answer that says
    what was wrong (RFC 9112, section 9.6). So our half is closed first, and the rest for a moment later.

    Args:
        transport: what it stands for.
        loop: the event loop.
        owes_input: tells whether the caller has not yet sent all that it announced, although it was answered.
        answer_seconds: in which a caller must have read what was written before the end.

    Attributes:
        lingers: whether our half is closed, and what still comes is not read.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        owes_input: Callable[[], bool],
        answer_seconds: float,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._owes_input = owes_input
        self._answer_seconds = answer_seconds
        self._dropped = 0
        self.lingers = False
        # What a request needs is the transport's own method, without a step between.
        self.write = transport.write
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.lingers or self._transport.is_closing()

    def close(self) -> None:
        """Close it once what was written is sent; in two steps if input is still to come."""
        if self.is_closing():
            return
        if not self._owes_input():
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._loop.call_later(self._answer_seconds, self._transport.abort)
            return
        self.lingers = True
        self._transport.resume_reading()
        self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close it now, whatever is unsent."""
        self._transport.abort()

    def drop(self, size: int) -> None:
        """Bytes that came while it lingers, or after a refusal: they are not kept, and not read without end."""
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self._transport.pause_reading()

    def has_input(self) -> bool:
        """Whether bytes have arrived that were not read yet, because the loop was busy with others."""
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
