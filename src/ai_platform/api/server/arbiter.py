"""Several API processes on one port: an arbiter that forks them, and keeps them running until it is told to stop.

It imports the application once and serves nothing, so workers share its memory as long as neither writes to it. It
has no thread, no connection and no event loop, because none of these survives a fork.
"""

import contextlib
import os
import selectors
import signal
import socket
import time

from ai_platform.api.draining import CLOSE_SECONDS
from ai_platform.api.server.sharing import Counts
from ai_platform.api.server.workers import Assignment, WorkerProcess, WorkerRestarts, fork, prepare_to_fork
from ai_platform.api.shared_metrics import leave_number
from ai_platform.errors import StackError
from ai_platform.processes.signal_wakeup import SignalWakeup
from ai_platform.telemetry import API_PROCESS_STARTS, logger

log = logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LONGEST_WAIT = 5.0
NUMBERS_PER_WORKER = 4


class Arbiter:
    """Keeps so many processes running.

    SIGTERM and SIGINT end all of them; SIGHUP puts a new one in the place of each, one after another.

    Args:
        processes: how many.
        drain_seconds: in which a process that was told to end has answered its last request; some time later it is
            killed.
        sockets: on which they accept; the arbiter's copies are closed when all are to end, and not before.

    Attributes:
        ended_by: the signal that asked for the end.
        counts: the connections of each, shared with them.
    """

    def __init__(self, processes: int, drain_seconds: float, sockets: list[socket.socket]) -> None:
        # A rolling restart has a process and its successor at a time, and more may be draining by order from outside.
        self._numbers = NUMBERS_PER_WORKER * processes
        self.counts = Counts(self._numbers)
        self.ended_by: int | None = None
        self._restarts = [WorkerRestarts() for _ in range(processes)]
        self._sockets = sockets
        self._workers: list[WorkerProcess] = []
        self._to_replace: list[WorkerProcess] = []
        self._end_seconds = drain_seconds + CLOSE_SECONDS + 1.0
        self._has_served = False
        self._failed = False
        self._selector = selectors.DefaultSelector()
        self._on_terminal = os.isatty(2)
        self._wakeup: SignalWakeup

    def run(self) -> Assignment | None:
        """Keep them running; returns in the arbiter when all have ended, and in each worker at its birth.

        In a worker, signals are blocked until it has its own handlers.

        Raises:
            StackError: they cannot be started.
        """
        prepare_to_fork()
        with SignalWakeup(SIGNALS, respects_nohup=False) as self._wakeup:
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            while self.ended_by is None or self._workers:
                assignment = self._start_missing()
                if assignment is not None:
                    break
                self._wait()
        self._selector.close()
        if assignment is not None:
            for sibling in self._workers:
                os.close(sibling.pipe)
        if assignment is None and self._failed:
            raise StackError("an API process ended while it started; its lines above say why")
        return assignment

    def _start_missing(self) -> Assignment | None:
        """Start what is missing; the assignment of the new process, in that process alone."""
        if self.ended_by is not None:
            return None
        now = time.monotonic()
        for restarts in self._vacant():
            if restarts.start_at <= now:
                assignment = self._start(restarts)
                if assignment is not None:
                    return assignment
        return self._replace_next()

    def _vacant(self) -> list[WorkerRestarts]:
        held = [worker.restarts for worker in self._workers if worker.stays]
        return [restarts for restarts in self._restarts if restarts not in held]

    def _replace_next(self) -> Assignment | None:
        """One step of a rolling restart: a successor that serves first, then the end of the one before it."""
        while self._to_replace and self._to_replace[0] not in self._workers:
            self._to_replace.pop(0)
        if not self._to_replace or not self._to_replace[0].stays:
            return None
        old = self._to_replace[0]
        new = next((worker for worker in self._workers if worker.replaces is old), None)
        if new is None:
            return self._start(old.restarts, replaces=old)
        if new.state == "serving":
            old.begin_end(signal.SIGHUP, self._end_seconds)
        return None

    def _start(self, restarts: WorkerRestarts, replaces: WorkerProcess | None = None) -> Assignment | None:
        taken = {worker.number for worker in self._workers}
        number = next((number for number in range(self._numbers) if number not in taken), None)
        if number is None:
            restarts.start_at = time.monotonic() + 1.0
            return None
        successor = any(worker.state == "serving" for worker in self._workers)
        try:
            born = fork(restarts, number, successor=successor, replaces=replaces)
        except OSError as error:
            log.error("no API process could be started", why=error.strerror)
            restarts.note_death(0.0)
            return None
        if isinstance(born, Assignment):
            return born
        self._workers.append(born)
        self._selector.register(born.pipe, selectors.EVENT_READ, born)
        why = "replaced" if replaces is not None else restarts.why
        API_PROCESS_STARTS.labels(why).inc()
        log.info("API process started", worker=born.pid, why=why)
        return None

    def _wait(self) -> None:
        """Until a signal, a word of a worker, or the time to act."""
        for key, _ in self._selector.select(self._seconds_to_wait()):
            if isinstance(key.data, WorkerProcess):
                self._listen(key.data)
            else:
                self._act_on_signals(self._wakeup.read())
        self._reap()
        now = time.monotonic()
        for worker in self._workers:
            if worker.kill_at <= now:
                log.error("API process killed: it did not end in time", worker=worker.pid)
                worker.send(signal.SIGKILL)
                worker.kill_at = now + self._end_seconds

    def _seconds_to_wait(self) -> float:
        due = [worker.kill_at for worker in self._workers]
        if self.ended_by is None:
            due += [restarts.start_at for restarts in self._vacant()]
        return min(LONGEST_WAIT, max(0.0, min(due, default=0.0) - time.monotonic()))

    def _listen(self, worker: WorkerProcess) -> None:
        word = worker.read()
        if word == "":
            self._selector.unregister(worker.pipe)
        if "s" in word and worker.state == "starting":
            worker.state = "serving"
            self._has_served = True
        if "d" in word:
            worker.note_draining(self._end_seconds)

    def _act_on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            hung_up = number == signal.SIGHUP and self._on_terminal and not os.isatty(2)
            if number in {signal.SIGTERM, signal.SIGINT} or hung_up:
                self._end(number)
            elif number == signal.SIGHUP and self.ended_by is None and not self._to_replace:
                log.info("API processes are replaced one after another")
                self._to_replace = [worker for worker in self._workers if worker.stays]

    def _end(self, number: int) -> None:
        for listening in self._sockets:  # what nobody will take is refused, and does not wait
            listening.close()
        self.ended_by = signal.SIGTERM if number == signal.SIGHUP else number
        for worker in self._workers:
            worker.begin_end(self.ended_by, self._end_seconds)

    def _reap(self) -> None:
        for worker in list(self._workers):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._workers.remove(worker)
            with contextlib.suppress(KeyError):
                self._selector.unregister(worker.pipe)
            os.close(worker.pipe)
            self.counts.clear(worker.number)
            leave_number(worker.number)
            if worker.stays and self.ended_by is None:
                self._note_death(worker, os.waitstatus_to_exitcode(status))

    def _note_death(self, worker: WorkerProcess, status: int) -> None:
        log.warning("API process died", worker=worker.pid, status=status, served=worker.state == "serving")
        if any(one.replaces is worker for one in self._workers):
            return  # its successor is there already
        if worker.replaces is not None and worker.state == "starting":
            log.error("the others are not replaced: a new API process does not start")
            self._to_replace.clear()
        elif not self._has_served:
            self._failed = True
            self._end(signal.SIGTERM)
        else:
            worker.restarts.note_death(time.monotonic() - worker.begun)
