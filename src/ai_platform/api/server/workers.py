"""The workers of the API's arbiter: how one is forked, what it says, and when its successor may start."""

import gc
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ai_platform.errors import StackError
from ai_platform.processes.backoff import Backoff
from ai_platform.processes.parent_death import dying_with

ORDERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
GOOD_LIFE = 30.0
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process is told at its birth.

    Attributes:
        number: its number, which no other process has as long as it lives.
        successor: whether others serve already.
        report: where it says that it serves (`s`), and that it drains (`d`).
    """

    number: int
    successor: bool
    report: int

    def tell(self, word: str) -> None:
        """Say something to the arbiter, if there still is one."""
        try:
            os.write(self.report, word[:1].encode())
        except OSError:
            return


@dataclass(eq=False, slots=True)
class WorkerRestarts:
    """When the next of one of so many processes that are to run may start, and why.

    Attributes:
        start_at: before when, on the monotonic clock, none is started.
        why: of the next start, for the metrics.
    """

    start_at: float = 0.0
    why: str = "first"
    _backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE, LONGEST_PAUSE, GOOD_LIFE, free=1))

    def note_death(self, lived: float) -> None:
        """One that lived so many seconds has died: the next starts at once, further ones after a growing pause."""
        self.start_at = time.monotonic() + self._backoff.after(lived)
        self.why = "died"


@dataclass(eq=False, slots=True)
class WorkerProcess:
    """A living process, as its parent sees it.

    Attributes:
        pid: its process id.
        restarts: of the one that it is.
        number: its number among those that live.
        pipe: the reading end of what it says.
        replaces: whose end waits until it serves.
        state: `starting`, `serving` or `draining`.
        begun: when it was forked, on the monotonic clock.
        kill_at: when it is killed.
    """

    pid: int
    restarts: WorkerRestarts
    number: int
    pipe: int
    replaces: "WorkerProcess | None" = None
    state: Literal["starting", "serving", "draining"] = "starting"
    begun: float = field(default_factory=time.monotonic)
    kill_at: float = NEVER

    @property
    def stays(self) -> bool:
        """Whether nobody has told it to end."""
        return self.state != "draining"

    def read(self) -> str:
        """What it has said since; nothing when it says no more."""
        return os.read(self.pipe, 16).decode("ascii")

    def begin_end(self, number: int, seconds: float) -> None:
        """Tell it to end within that time."""
        self.send(number)
        self.note_draining(seconds)

    def note_draining(self, seconds: float) -> None:
        """It ends, by whomever it was told."""
        if self.state != "draining":
            self.state = "draining"
            self.kill_at = time.monotonic() + seconds
            self.restarts.why = "replaced"

    def send(self, number: int) -> None:
        """Signal it; it exists, if only as a zombie, because nobody has waited for it yet."""
        os.kill(self.pid, number)


def prepare_to_fork() -> None:
    """Refuse to fork beside a thread, whose locks would stay locked in the worker for ever; keep shared pages shared.

    Raises:
        StackError: there is one.
    """
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()
    if threads > 1:
        raise StackError(
            f"several API processes cannot be started beside {threads - 1} threads; numerical libraries start them "
            "when OMP_NUM_THREADS, OPENBLAS_NUM_THREADS or MKL_NUM_THREADS ask for more than one"
        )
    gc.collect()
    gc.freeze()  # so that collections in the workers do not write to the pages that they share


def fork(
    restarts: WorkerRestarts, number: int, *, successor: bool, replaces: WorkerProcess | None
) -> WorkerProcess | Assignment:
    """Two processes from one: the worker gets its place, the arbiter gets the worker.

    The worker has signals blocked, ends with its parent, and is in a process group of its own, so that a Ctrl-C at the
    terminal reaches the arbiter alone.

    Raises:
        OSError: the system has no room for another.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, ORDERS)
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERS)
        raise
    if pid == 0:
        os.close(reader)
        os.setpgid(0, 0)
        dying_with(parent, signal.SIGTERM)()
        return Assignment(number, successor, writer)
    os.close(writer)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERS)
    return WorkerProcess(pid, restarts, number, reader, replaces)
