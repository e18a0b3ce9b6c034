"""An open loop: requests come when the schedule says, whatever the server does.

`python -m benchmarks.load.open_loop` reads a plan from its standard input and prints what it saw in each phase.
Arrivals are a Poisson process. A latency counts from the time at which the request was due, so that a server which
stalls is charged for everything that was due meanwhile (no coordinated omission). Connections are opened as they are
needed, up to a bound; a request that finds none waits, and its wait counts.
"""

import asyncio
import gc
import json
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import uvloop

from benchmarks.load.alarm import Alarm
from benchmarks.load.connection import REFUSED, UNANSWERED, Connection
from benchmarks.load.plan import Phase, Plan, Requests, arrivals, plan_of
from benchmarks.load.tally import Tally

GRACE_SECONDS = 15.0
# Servers close what is idle for 5 s or so; who sends into that moment loses a request through nobody's overload.
IDLE_SECONDS = 2.0


class Due:
    """A request that is due, or under way."""

    __slots__ = ("at", "name")

    def __init__(self, name: str, at: float) -> None:
        self.name, self.at = name, at


class Connections:
    """Carries requests, each over a connection that is idle or new.

    Args:
        plan: where to, and how many connections at most.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = {call.name: Requests(call, plan) for call in plan.calls}
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
            task.add_done_callback(self._opening.discard)
        else:
            self._waiting.append((due, run))

    def close(self) -> None:
        """Let go of all connections."""
        for connection in [*self._under_way, *(idle for idle, _ in self._idle)]:
            connection.close()

    def _send(self, connection: Connection, due: Due, run: "PhaseRun") -> None:
        self._under_way[connection] = (due, run)
        connection.send(self._requests[due.name].next())

    async def _open(self, due: Due, run: "PhaseRun") -> None:
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self._ended), "127.0.0.1", self._plan.port
                )
        except OSError:
            run.note(due, REFUSED)
            return
        self._send(connection, due, run)

    def _ended(self, connection: Connection, status: int) -> None:
        due, run = self._under_way.pop(connection)
        run.note(due, status, connection.code)
        if connection.usable:
            self._idle.append((connection, time.monotonic()))
        if self._waiting:
            self.carry(*self._waiting.popleft())


class PhaseRun:
    """One phase: what is due in it, and what comes of it."""

    def __init__(self, plan: Plan, phase: Phase, draws: random.Random, connections: Connections) -> None:
        self._phase = phase
        self._connections = connections
        self._tally = Tally(plan.calls)
        self._coming = self._drawn(plan, draws)
        self._next: Due | None = None
        self._open: set[Due] = set()
        self._begun = 0.0
        self._latest = 0.0
        self._all_sent, self._all_ended = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Let its requests come, and end with its time; or, if it drains, with its last answer."""
        self._begun = time.monotonic()
        self._next = next(self._coming, None)
        self._alarm = Alarm(self._send_due)
        self._send_due()
        await self._all_sent.wait()
        self._alarm.close()
        await asyncio.sleep(max(0.0, self._begun + self._phase.seconds - time.monotonic()))
        if self._phase.drains:
            await self.end()

    async def end(self) -> None:
        """Wait for the last answer, so long as one may take."""
        if self._open:
            await asyncio.wait([asyncio.ensure_future(self._all_ended.wait())], timeout=GRACE_SECONDS)
        for due in list(self._open):
            self.note(due, UNANSWERED)

    def note(self, due: Due, status: int, code: str = "") -> None:
        """How a request ended; what comes after it was given up is not counted twice."""
        if due not in self._open:
            return
        self._open.discard(due)
        self._tally.note(due.name, status, due.at, time.monotonic() - self._begun - due.at, code)
        if not self._open and self._next is None:
            self._all_ended.set()

    def summary(self) -> dict[str, Any]:
        """What it comes to; `late_ms` is by how much the generator itself was late at worst."""
        return {
            **self._tally.summary(self._phase.seconds),
            "rate": self._phase.rate,
            "late_ms": self._latest * 1000,
            "windows": self._tally.windows(self._phase.seconds),
        }

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


async def run(plan: Plan) -> dict[str, Any]:
    """Run all phases, and tell what was seen in each."""
    draws = random.Random(plan.seed)
    connections = Connections(plan)
    runs = [PhaseRun(plan, phase, draws, connections) for phase in plan.phases]
    for one in runs:
        await one.run()
    for one in runs:
        await one.end()
    connections.close()
    await asyncio.sleep(0)  # they close in the loop's next round
    return {"phases": [one.summary() for one in runs]}


if __name__ == "__main__":
    # A pause for the collector would be measured as the server's; nothing here goes in circles.
    gc.disable()
    print(json.dumps(uvloop.run(run(plan_of(json.load(sys.stdin))))))
