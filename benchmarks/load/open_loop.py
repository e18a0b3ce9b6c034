"""An open loop: requests come when the schedule says, whatever the server does.

Arrivals are a Poisson process. A latency counts from the time at which the request was due, so that a server which
stalls is charged for everything that was due meanwhile (no coordinated omission). Connections are opened as they are
needed, up to a bound; a request that finds none waits, and its wait counts. A client that behaves: it keeps
connections, opens another after `Connection: close`, and never sends a request again.

`python -m benchmarks.load.open_loop` reads a pickled plan from its standard input and prints what it saw in each
phase; SIGINT ends it early. `run` does the same in the caller's own event loop.
"""

import asyncio
import gc
import json
import pickle
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.load.alarm import Alarm
from benchmarks.load.connection import REFUSED, UNANSWERED, Connection
from benchmarks.load.plan import Phase, Plan, Requests, arrivals
from benchmarks.load.tally import Tally

GRACE_SECONDS = 15.0
# Servers close what is idle for 5 s or so; who sends into that moment loses a request through nobody's overload.
IDLE_SECONDS = 2.0


class Due:
    """A request that is due, or under way.

    Attributes:
        name: of its kind.
        at: when it is due, in seconds since its phase began.
        request: its bytes, once it is sent.
        answer: what came, with its head; empty if nothing did.
        status: of the answer, or what is in place of one.
        seconds: from when it was due to its end.
    """

    __slots__ = ("answer", "at", "name", "request", "seconds", "status")

    def __init__(self, name: str, at: float) -> None:
        self.name, self.at = name, at
        self.request = self.answer = b""
        self.status, self.seconds = UNANSWERED, 0.0


OnEnd = Callable[[Due], None]


class Connections:
    """Carries requests, each over a connection that is idle or new.

    Args:
        plan: where to, and how many connections at most.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = {call.name: Requests(call, plan.key) for call in plan.calls}
        # Beside each, since when it is idle; the last used is used first.
        self._idle: list[tuple[Connection, float]] = []
        self._under_way: dict[Connection, tuple[Due, PhaseRun]] = {}
        self._waiting: deque[tuple[Due, PhaseRun]] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    def carry(self, due: Due, run: "PhaseRun") -> None:
        """Send a request as soon as a connection is there for it."""
        while self._idle:
            connection, since = self._idle.pop()
            if connection.usable and time.monotonic() - since < IDLE_SECONDS:
                self._send(connection, due, run)
                return
            connection.close()
        if len(self._under_way) + len(self._opening) < self._plan.connections:
            task = asyncio.get_running_loop().create_task(self._open(due, run))
            self._opening.add(task)
            task.add_done_callback(self._opened)
        else:
            self._waiting.append((due, run))

    async def close(self) -> None:
        """Let go of all connections."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in [*self._under_way, *(idle for idle, _ in self._idle)]:
            connection.close()
        await asyncio.sleep(0)  # they close in the loop's next round

    def _send(self, connection: Connection, due: Due, run: "PhaseRun") -> None:
        self._under_way[connection] = (due, run)
        due.request = self._requests[due.name].next()
        connection.send(due.request)

    async def _open(self, due: Due, run: "PhaseRun") -> None:
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self._ended), self._plan.host, self._plan.port
                )
        except OSError:
            run.note(due, REFUSED)
            return
        self._send(connection, due, run)

    def _ended(self, connection: Connection, status: int) -> None:
        due, run = self._under_way.pop(connection)
        due.answer = connection.answer
        run.note(due, status)
        if connection.usable:
            self._idle.append((connection, time.monotonic()))
        self._carry_waiting()

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if len(self._under_way) + len(self._opening) < self._plan.connections:
            self._carry_waiting()

    def _carry_waiting(self) -> None:
        if self._waiting:
            self.carry(*self._waiting.popleft())


class PhaseRun:
    """One phase: what is due in it, and what comes of it."""

    def __init__(self, plan: Plan, phase: Phase, draws: random.Random, connections: Connections, ended: OnEnd) -> None:
        self._phase = phase
        self._connections = connections
        self._ended = ended
        self._tally = Tally(plan.calls)
        self._coming = self._drawn(plan, draws)
        self._next: Due | None = None
        self._open: set[Due] = set()
        self._begun = self._latest = 0.0
        self._all_sent, self._all_ended = asyncio.Event(), asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Let its requests come until its time is over or it is stopped; if it drains, until its last answer."""
        self._begun = time.monotonic()
        self._next = next(self._coming, None)
        self._alarm = Alarm(self._send_due)
        self._send_due()
        await _within(stop, self._phase.seconds)
        if not stop.is_set():
            await self._all_sent.wait()
        self._next = None
        self._alarm.close()
        if self._phase.drains:
            await self.end()

    async def end(self) -> None:
        """Wait for the last answer, so long as one may take."""
        if self._open:
            await _within(self._all_ended, GRACE_SECONDS)
        for due in list(self._open):
            self.note(due, UNANSWERED)

    def note(self, due: Due, status: int) -> None:
        """How a request ended; what comes after it was given up is not counted twice."""
        if due not in self._open:
            return
        self._open.discard(due)
        due.status, due.seconds = status, time.monotonic() - self._begun - due.at
        self._tally.note(due.name, status, due.at, due.seconds, due.answer)
        self._ended(due)
        if not self._open and self._next is None:
            self._all_ended.set()

    def summary(self) -> dict[str, Any]:
        """What it comes to; `late_ms` is by how much the generator itself was late at worst."""
        return {**self._tally.summary(self._phase.seconds), "late_ms": self._latest * 1000}

    def _drawn(self, plan: Plan, draws: random.Random) -> Iterator[Due]:
        kinds = random.Random(f"{plan.seed}/kinds")
        names, weights = [call.name for call in plan.calls], [call.weight for call in plan.calls]
        for at in arrivals(self._phase.rate, self._phase.seconds, draws):
            yield Due(names[0] if len(names) == 1 else kinds.choices(names, weights)[0], at)

    def _send_due(self) -> None:
        while self._next is not None:
            due = self._next
            late = time.monotonic() - self._begun - due.at
            if late < 0:
                self._alarm.at(self._begun + due.at)
                return
            self._latest = max(self._latest, late)
            self._open.add(due)
            self._connections.carry(due, self)
            self._next = next(self._coming, None)
        self._all_sent.set()


async def run(plan: Plan, stop: asyncio.Event | None = None, ended: OnEnd = lambda _: None) -> dict[str, Any]:
    """Run all phases, and tell what was seen in each.

    Args:
        plan: what is sent.
        stop: ends it early; what is under way is still answered.
        ended: called as each request ends.
    """
    stop = stop or asyncio.Event()
    draws = random.Random(plan.seed)
    connections = Connections(plan)
    runs = [PhaseRun(plan, phase, draws, connections, ended) for phase in plan.phases]
    for one in runs:
        await one.run(stop)
    for one in runs:
        await one.end()
    await connections.close()
    return {"phases": [one.summary() for one in runs]}


async def _within(event: asyncio.Event, seconds: float) -> None:
    await asyncio.wait([waiting := asyncio.ensure_future(event.wait())], timeout=seconds)
    waiting.cancel()


async def _run_until_interrupted(plan: Plan) -> dict[str, Any]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    return await run(plan, stop)


if __name__ == "__main__":
    import uvloop

    # A pause for the collector would be measured as the server's; nothing here goes in circles.
    gc.disable()
    print(json.dumps(uvloop.run(_run_until_interrupted(pickle.load(sys.stdin.buffer)))))
