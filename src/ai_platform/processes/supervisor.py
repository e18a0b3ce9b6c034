"""Keeping processes running: one loop, in one thread, that reads their output, notes deaths and starts them again."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import psutil

from ai_platform.errors import StackError
from ai_platform.processes.children import Child
from ai_platform.processes.output import Output
from ai_platform.processes.process_tree import StopPolicy, end, family, kill, send
from ai_platform.processes.programs import Program, Role, adopt_orphans
from ai_platform.processes.signal_wakeup import SignalWakeup
from ai_platform.processes.status import Entry

LONGEST_WAIT = 0.5
WAIT_WHILE_STARTING = 0.05
STOP_ORDER: tuple[frozenset[Role], ...] = (
    frozenset(("api", "worker", "sweeper", "up")),
    frozenset(("redis",)),
    frozenset(("postgres",)),
)


class StopAsked(Exception):  # nothing went wrong
    """A signal asked for the end."""


class Supervisor:
    """Starts programs, starts them again when they die, and ends them in order.

    It must be alone in its process: on Linux it becomes the parent of everything that its children leave behind.

    Args:
        output: where lines of the children, and of what happens to them, are shown.
        changed: called with all entries whenever one of them changed.
        stop_order: roles that end together, group after group.
    """

    def __init__(
        self,
        output: Output,
        changed: Callable[[list[Entry]], None],
        stop_order: Sequence[frozenset[Role]] = STOP_ORDER,
    ) -> None:
        self.output = output
        self._stop_order = stop_order
        self._changed = changed
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._wakeup = SignalWakeup()
        self._once: Child | None = None
        self._adopts = False
        self._stopping_since: int | None = None

    def __enter__(self) -> Self:
        self._wakeup.__enter__()
        self._selector.register(self._wakeup.fileno(), selectors.EVENT_READ)
        self._adopts = adopt_orphans(wanted=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            adopt_orphans(wanted=False)
            self._selector.close()
            self._wakeup.__exit__(kind, error, trace)

    def start(self, program: Program) -> None:
        """Start a program and keep it running.

        Raises:
            StackError: the system refuses to start it.
        """
        child = Child(program)
        self._launch(child)
        self._children.append(child)
        self._tell()

    def wait_ready(self, role: Role, seconds: float) -> bool:
        """Wait until it does its work; False when that took too long.

        Raises:
            StackError: it ended meanwhile; its last lines stand in the detail.
            StopAsked: a signal asked for the end.
        """
        child = next(child for child in self._children if child.program.role == role)
        limit = time.monotonic() + seconds
        while child.state == "starting" and time.monotonic() < limit:
            self._turn()
        if child.state == "restarting":
            raise StackError(f"{role} ended while it started; its last lines:\n{_last_lines(child)}")
        return child.state == "running"

    def run(self, program: Program, seconds: float) -> None:
        """Run a program that ends by itself.

        Raises:
            StackError: it failed, or did not end in time; its last lines stand in the detail.
            StopAsked: a signal asked for the end.
        """
        child = self._once = Child(program)
        self._launch(child)
        limit = time.monotonic() + seconds
        try:
            while _is_alive(child) and time.monotonic() < limit:
                self._turn()
            in_time = not _is_alive(child)
        finally:
            self._end([child])
            self._once = None
        assert child.process is not None
        if not in_time or child.process.returncode != 0:
            why = f"failed (status {child.process.returncode})" if in_time else "did not end in time"
            raise StackError(f"{program.role} {why}; its last lines:\n{_last_lines(child)}")

    def watch(self) -> None:
        """Keep everything running until a signal asks for the end."""
        try:
            while True:
                self._turn()
        except StopAsked:
            return

    def stop(self) -> None:
        """End everything in order, within 15 s: what works first, then Valkey, then PostgreSQL."""
        self._stopping_since = self._wakeup.asked
        for child in filter(_is_alive, self._children):
            # A part that ends speaks to the servers once more; one that is paused would keep it waiting.
            send(family(_head(child)), signal.SIGCONT)
        for roles in self._stop_order:
            group = [child for child in self._children if child.program.role in roles]
            self._end(group)
            for child in group:
                child.state = "stopped"
            self._tell()
        self._children.clear()

    def _end(self, group: list[Child]) -> None:
        end([_stop_policy(child) for child in group if _is_alive(child)], self._pump)
        for child in group:
            self._clear_away(child)

    def _turn(self) -> None:
        """One round: output, deaths, restarts, readiness.

        Raises:
            StopAsked: a signal asked for the end.
        """
        busy = self.output.behind or any(child.is_eager for child in self._children)
        self._pump(WAIT_WHILE_STARTING if busy else LONGEST_WAIT)
        if self._wakeup.asked:
            raise StopAsked
        changed = [self._look_after(child) for child in self._children]
        self._reap_orphans()
        if any(changed):
            self._tell()

    def _look_after(self, child: Child) -> bool:
        if child.state == "restarting":
            return child.is_due() and self._restart(child)
        if not _is_alive(child):
            self._note_death(child)
            return True
        return child.became_ready()

    def _note_death(self, child: Child) -> None:
        assert child.process is not None
        status = child.process.returncode
        self._clear_away(child)
        pause = child.note_death()
        self.output.line("up", f"{child.program.role} {_how(status)}; it starts again in {pause:g} s")

    def _restart(self, child: Child) -> bool:
        child.restarts += 1
        try:
            self._launch(child)
        except StackError as error:
            child.note_death()
            self.output.line("up", error.detail)
        return True

    def _launch(self, child: Child) -> None:
        try:
            child.start()
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(f"{child.program.role} could not be started: {error}") from None
        self._selector.register(child.fileno(), selectors.EVENT_READ, child)

    def _pump(self, seconds: float) -> None:
        """Show what the children print, waiting at most so many seconds for it."""
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Child):
                self._show(key.data)
            else:
                self._wakeup.read()
        if self._stopping_since is not None and self._wakeup.asked > self._stopping_since:
            self._stopping_since = self._wakeup.asked
            self.output.line("up", "already stopping")
        self.output.flush()

    def _show(self, child: Child) -> bool:
        lines, more = child.read()
        for line in lines:
            self.output.line(child.program.role, line)
        if not more:
            self._selector.unregister(child.fileno())
            child.close()
        return more and bool(lines)

    def _clear_away(self, child: Child) -> None:
        """Kill what a dead child left behind, show its last words, and close its pipe."""
        if child.process is None or child.process.stdout is None or child.head is None:
            return
        kill(family(child.head), self._pump)
        self._kill_orphans()
        while not child.process.stdout.closed and self._show(child):
            pass
        if not child.process.stdout.closed:
            self._selector.unregister(child.fileno())
            child.close()
        child.process.poll()

    def _kill_orphans(self) -> None:
        """What left its session (PostgreSQL's backends do) has become our own child by its parent's death."""
        if self._adopts:
            ours = self._pids()
            kill([one for one in psutil.Process().children() if one.pid not in ours], self._pump)
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        ours = self._pids()
        while self._adopts:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in ours:
                return
            os.waitpid(found.si_pid, 0)

    def _pids(self) -> set[int]:
        children = self._children if self._once is None else [*self._children, self._once]
        return {child.process.pid for child in children if child.process is not None}

    def _tell(self) -> None:
        self._changed([child.entry() for child in self._children])


def _is_alive(child: Child) -> bool:
    return child.process is not None and child.process.poll() is None


def _head(child: Child) -> psutil.Process:
    assert child.head is not None
    return child.head


def _stop_policy(child: Child) -> StopPolicy:
    program = child.program
    return StopPolicy(_head(child), program.stop_signal, program.stop_seconds, program.last_signal)


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _last_lines(child: Child) -> str:
    return "\n".join(child.recent) or "(it printed nothing)"
