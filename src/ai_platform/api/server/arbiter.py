"""Several API processes on one port: a parent that forks them, and keeps them running until it is told to stop.

It imports the application once and serves nothing, so children share its memory as long as neither writes to it. It
has no thread, no connection and no event loop, because none of these survives a fork.
"""

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator

from ai_platform.api.draining import CLOSE_SECONDS
from ai_platform.api.server.sharing import Counts
from ai_platform.api.server.workers import Child, Place, Post, fork, prepare_to_fork
from ai_platform.api.shared_metrics import leave_slot
from ai_platform.errors import StackError
from ai_platform.telemetry import API_PROCESS_STARTS, logger

log = logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
LONGEST_WAIT = 5.0
SLOTS_A_PROCESS = 4


class Parent:
    """Keeps so many processes running.

    SIGTERM and SIGINT end all of them; SIGHUP puts a new one in the place of each, one after another.

    Args:
        processes: how many.
        drain_seconds: in which a process that was told to end has answered its last request; some time later it is
            killed.
        sockets: on which they accept; the parent's copies are closed when all are to end, and not before.

    Attributes:
        ended_by: the signal that asked for the end.
        counts: the connections of each, shared with them.
    """

    def __init__(self, processes: int, drain_seconds: float, sockets: list[socket.socket]) -> None:
        # A rolling restart has a process and its successor at a time, and more may be draining by order from outside.
        self._slots = SLOTS_A_PROCESS * processes
        self.counts = Counts(self._slots)
        self.ended_by: int | None = None
        self._posts = [Post() for _ in range(processes)]
        self._sockets = sockets
        self._children: list[Child] = []
        self._to_replace: list[Child] = []
        self._end_seconds = drain_seconds + CLOSE_SECONDS + 1.0
        self._has_served = False
        self._failed = False
        self._selector = selectors.DefaultSelector()
        self._on_terminal = os.isatty(2)

    def run(self) -> Place | None:
        """Keep them running; returns in the parent when all have ended, and in each child at its birth.

        In a child, signals are blocked until it has its own handlers.

        Raises:
            StackError: they cannot be started.
        """
        prepare_to_fork()
        with self._signals() as (reader, _writer):
            self._selector.register(reader, selectors.EVENT_READ)
            while self.ended_by is None or self._children:
                place = self._staff()
                if place is not None:
                    break
                self._wait()
        self._selector.close()
        if place is not None:
            for sibling in self._children:
                os.close(sibling.pipe)
        if place is None and self._failed:
            raise StackError("an API process ended while it started; its lines above say why")
        return place

    def _staff(self) -> Place | None:
        """Start what is missing; the place of the new process, in that process alone."""
        if self.ended_by is not None:
            return None
        now = time.monotonic()
        for post in self._vacant():
            if post.start_at <= now:
                place = self._start(post)
                if place is not None:
                    return place
        return self._replace_next()

    def _vacant(self) -> list[Post]:
        held = [child.post for child in self._children if child.stays]
        return [post for post in self._posts if post not in held]

    def _replace_next(self) -> Place | None:
        """One step of a rolling restart: a successor that serves first, then the end of the one before it."""
        while self._to_replace and self._to_replace[0] not in self._children:
            self._to_replace.pop(0)
        if not self._to_replace or not self._to_replace[0].stays:
            return None
        old = self._to_replace[0]
        new = next((child for child in self._children if child.replaces is old), None)
        if new is None:
            return self._start(old.post, replaces=old)
        if new.state == "serving":
            old.begin_end(signal.SIGHUP, self._end_seconds)
        return None

    def _start(self, post: Post, replaces: Child | None = None) -> Place | None:
        taken = {child.slot for child in self._children}
        slot = next((number for number in range(self._slots) if number not in taken), None)
        if slot is None:
            post.start_at = time.monotonic() + 1.0
            return None
        successor = any(child.state == "serving" for child in self._children)
        try:
            born = fork(post, slot, successor=successor, replaces=replaces)
        except OSError as error:
            log.error("no API process could be started", why=error.strerror)
            post.note_failure(0.0)
            return None
        if isinstance(born, Place):
            return born
        self._children.append(born)
        self._selector.register(born.pipe, selectors.EVENT_READ, born)
        why = "replaced" if replaces is not None else post.why
        API_PROCESS_STARTS.labels(why).inc()
        log.info("API process started", child=born.pid, why=why)
        return None

    def _wait(self) -> None:
        """Until a signal, a word of a child, or the time to act."""
        for key, _ in self._selector.select(self._seconds_to_wait()):
            if isinstance(key.data, Child):
                self._listen(key.data)
            else:
                self._obey(os.read(key.fd, 4096))
        self._bury()
        now = time.monotonic()
        for child in self._children:
            if child.kill_at <= now:
                log.error("API process killed: it did not end in time", child=child.pid)
                child.send(signal.SIGKILL)
                child.kill_at = now + self._end_seconds

    def _seconds_to_wait(self) -> float:
        due = [child.kill_at for child in self._children]
        if self.ended_by is None:
            due += [post.start_at for post in self._vacant()]
        return min(LONGEST_WAIT, max(0.0, min(due, default=0.0) - time.monotonic()))

    def _listen(self, child: Child) -> None:
        word = child.read()
        if word == "":
            self._selector.unregister(child.pipe)
        if "s" in word and child.state == "starting":
            child.state = "serving"
            self._has_served = True
        if "d" in word:
            child.note_draining(self._end_seconds)

    def _obey(self, numbers: bytes) -> None:
        for number in numbers:
            hung_up = number == signal.SIGHUP and self._on_terminal and not os.isatty(2)
            if number in {signal.SIGTERM, signal.SIGINT} or hung_up:
                self._end(number)
            elif number == signal.SIGHUP and self.ended_by is None and not self._to_replace:
                log.info("API processes are replaced one after another")
                self._to_replace = [child for child in self._children if child.stays]

    def _end(self, number: int) -> None:
        for listening in self._sockets:  # what nobody will take is refused, and does not wait
            listening.close()
        self.ended_by = signal.SIGTERM if number == signal.SIGHUP else number
        for child in self._children:
            child.begin_end(self.ended_by, self._end_seconds)

    def _bury(self) -> None:
        for child in list(self._children):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._children.remove(child)
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.pipe)
            os.close(child.pipe)
            self.counts.clear(child.slot)
            leave_slot(child.slot)
            if child.stays and self.ended_by is None:
                self._note_death(child, os.waitstatus_to_exitcode(status))

    def _note_death(self, child: Child, status: int) -> None:
        log.warning("API process died", child=child.pid, status=status, served=child.state == "serving")
        if any(one.replaces is child for one in self._children):
            return  # its successor is there already
        if child.replaces is not None and child.state == "starting":
            log.error("the others are not replaced: a new API process does not start")
            self._to_replace.clear()
        elif not self._has_served:
            self._failed = True
            self._end(signal.SIGTERM)
        else:
            child.post.note_failure(child.begun)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """Signals arrive as bytes at a socket, and do nothing else."""
        reader, writer = socket.socketpair()
        reader.settimeout(0)
        writer.settimeout(0)
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader, writer
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()
