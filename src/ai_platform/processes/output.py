"""What `up` shows: lines of many processes in one stream, as docker-compose prints them; nobody waits for it."""

import os
import select
import time
from collections import deque

from ai_platform.processes.programs import Role

COLOURS: dict[Role, int] = {
    "up": 37,
    "api": 36,
    "worker": 33,
    "sweeper": 35,
    "postgres": 34,
    "redis": 31,
    "migrate": 32,
}
WIDTH = max(len(role) for role in COLOURS)
MOST_LINES = 2_000


class Output:
    """A stream of lines.

    A terminal that takes nothing (Ctrl-S, a pager) must not stop the platform: lines wait here, and beyond 2000 of them
    the oldest are left out and counted.

    Args:
        descriptor: where lines are written; closed by nobody here.
        colour: whether to mark each process's lines with a colour.
    """

    def __init__(self, descriptor: int, *, colour: bool) -> None:
        self._descriptor = descriptor
        self._colour = colour
        self._waiting: deque[bytes] = deque()
        self._rest = b""
        self._left_out = 0
        self._broken = False

    @property
    def behind(self) -> bool:
        """Whether lines wait to be written."""
        return not self._broken and bool(self._rest or self._waiting)

    def say(self, text: str = "") -> None:
        """Show a line of `up` itself."""
        self._put(text)

    def line(self, role: Role, text: str) -> None:
        """Show a line of one process, with its name before it."""
        name = f"{role:<{WIDTH}} |"
        self._put(f"\x1b[{COLOURS[role]}m{name}\x1b[0m {text}" if self._colour else f"{name} {text}")

    def flush(self, seconds: float = 0.0) -> None:
        """Write what the stream takes now, and at most for so many seconds."""
        limit = time.monotonic() + seconds
        while self.behind and self._takes(max(0.0, limit - time.monotonic())):
            self._write()

    def _put(self, text: str) -> None:
        if len(self._waiting) >= MOST_LINES:
            self._waiting.popleft()
            self._left_out += 1
        self._waiting.append(text.encode(errors="replace") + b"\n")
        self.flush()

    def _takes(self, seconds: float) -> bool:
        return bool(select.select([], [self._descriptor], [], seconds)[1])

    def _write(self) -> None:
        """At most PIPE_BUF bytes: so much a pipe that is ready takes without blocking (POSIX, write)."""
        if not self._rest:
            self._rest = self._next()
        try:
            written = os.write(self._descriptor, self._rest[: select.PIPE_BUF])
        except BlockingIOError:
            return
        except OSError:
            self._broken = True
            return
        self._rest = self._rest[written:]

    def _next(self) -> bytes:
        if self._left_out:
            note = f"({self._left_out} lines left out: they were not taken in time)\n"
            self._left_out = 0
            return note.encode()
        return self._waiting.popleft()
