"""One supervised process: its output, line by line, and when it may be started again."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Iterator

import psutil

from ai_platform.processes.backoff import Backoff
from ai_platform.processes.programs import Program, spawn
from ai_platform.processes.status import Entry, State

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
GOOD_LIFE = 30.0
CHUNK = 65_536
EAGER_SECONDS = 30.0
LAZY_LOOK = 2.0


class Child:
    """A program that is kept running.

    Attributes:
        program: what is run.
        process: the present or last process.
        head: the same, in psutil's form.
        state: as it is shown.
        restarts: how often it was started again.
        recent: its last lines.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.state: State = "starting"
        self.restarts = 0
        self.recent: deque[str] = deque(maxlen=12)
        self.head: psutil.Process | None = None
        self._created = 0.0
        self._started = 0.0
        self._look_at = 0.0
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, GOOD_LIFE)
        self._start_at = 0.0
        self._begun = b""

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: the system refuses.
        """
        self.process = spawn(self.program, subprocess.PIPE)
        os.set_blocking(self.fileno(), False)
        # It exists, if only as a zombie, as nobody has waited for it yet.
        self.head = psutil.Process(self.process.pid)
        self._created = self.head.create_time()
        self._started = self._look_at = time.monotonic()
        self.state = "starting"

    def fileno(self) -> int:
        """The reading end of its output."""
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def entry(self) -> Entry:
        """What is told of it."""
        head = None if self.state == "restarting" else self.head
        pid, created = (None, None) if head is None else (head.pid, self._created)
        return Entry(self.program.role, pid, created, self.state, self.restarts, self.program.url)

    def read(self) -> tuple[list[str], bool]:
        """The lines that came since, and whether more may come."""
        try:
            chunk = os.read(self.fileno(), CHUNK)
        except BlockingIOError:
            return [], True
        except OSError:
            chunk = b""
        lines = list(self._lines(chunk))
        self.recent.extend(lines)
        return lines, bool(chunk)

    def close(self) -> None:
        """Let go of its output."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self._begun = b""

    def became_ready(self) -> bool:
        """Whether it does its work, if that is not known already and it is time to look."""
        now = time.monotonic()
        if self.state != "starting" or self.process is None or now < self._look_at:
            return False
        if self.program.ready(self.process.pid):
            self.state = "running"
            return True
        self._look_at = time.monotonic() + (self.program.look_seconds if self.is_eager else LAZY_LOOK)
        return False

    @property
    def is_eager(self) -> bool:
        """Whether it has been starting for so short a time that each moment counts."""
        return self.state == "starting" and time.monotonic() - self._started < EAGER_SECONDS

    def note_death(self) -> float:
        """Set when it starts again; how many seconds that is away."""
        pause = self._backoff.after(time.monotonic() - self._started)
        self._start_at = time.monotonic() + pause
        self.state = "restarting"
        return pause

    def is_due(self) -> bool:
        """Whether it is time to start it again."""
        return self.state == "restarting" and time.monotonic() >= self._start_at

    def _lines(self, chunk: bytes) -> Iterator[str]:
        *whole, self._begun = (self._begun + chunk).split(b"\n")
        if (not chunk or len(self._begun) > CHUNK) and self._begun:
            whole.append(self._begun)
            self._begun = b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
