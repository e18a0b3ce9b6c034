"""A closed loop: each of N connections sends when its answer has come. `python -m benchmarks.load.closed_loop`.

It reads a plan from its standard input and prints what it saw. A client that behaves: it keeps connections, opens
another after `Connection: close`, and never sends a request again. SIGTERM ends it early.
"""

import asyncio
import gc
import json
import random
import signal
import sys
import time
from typing import Any

import uvloop

from benchmarks.load.connection import REFUSED, UNANSWERED, Connection
from benchmarks.load.plan import Plan, Requests, plan_of
from benchmarks.load.tally import Tally

GRACE_SECONDS = 10.0
PAUSE_AFTER_REFUSAL = 0.01


class Client:
    """One connection after another, with one request after another."""

    def __init__(self, plan: Plan, tally: Tally, number: int, begun: float, until: float) -> None:
        self._plan, self._tally = plan, tally
        self._begun, self._until = begun, until
        self._draws = random.Random(f"{plan.seed}/{number}")
        self._requests = {call.name: Requests(call, plan) for call in plan.calls}
        self._names = [call.name for call in plan.calls]
        self._weights = [call.weight for call in plan.calls]
        self._sent, self._name = 0.0, ""
        self._connection: Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self.finished = asyncio.Event()

    def begin(self) -> None:
        """Send the first."""
        self._next()

    def stop(self) -> None:
        """Send no more; what is under way may end."""
        self._until = 0.0

    def give_up(self) -> None:
        """What is under way now was not answered."""
        if not self.finished.is_set():
            self._note(UNANSWERED)
            self.finished.set()

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()

    def _next(self) -> None:
        self._name = self._names[0] if len(self._names) == 1 else self._draws.choices(self._names, self._weights)[0]
        self._sent = time.monotonic()
        if self._sent >= self._until:
            self.finished.set()
        elif self._connection is not None and self._connection.usable:
            self._connection.send(self._requests[self._name].next())
        else:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                _, self._connection = await loop.create_connection(
                    lambda: Connection(self._ended), "127.0.0.1", self._plan.port
                )
        except OSError:
            self._note(REFUSED)
            await asyncio.sleep(PAUSE_AFTER_REFUSAL)
            self._next()
            return
        self._connection.send(self._requests[self._name].next())

    def _ended(self, connection: Connection, status: int) -> None:
        self._note(status, connection.code)
        self._next()

    def _note(self, status: int, code: str = "") -> None:
        took = time.monotonic() - self._sent
        self._tally.note(self._name, status, self._sent - self._begun, took, code)


async def run(plan: Plan) -> dict[str, Any]:
    """Run a plan, and tell what was seen."""
    begun = time.monotonic()
    tally = Tally(plan.calls)
    clients = [Client(plan, tally, number, begun, begun + plan.seconds) for number in range(plan.connections)]

    def stop() -> None:
        for client in clients:
            client.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    for client in clients:
        client.begin()
    waiting = [asyncio.ensure_future(client.finished.wait()) for client in clients]
    await asyncio.wait(waiting, timeout=plan.seconds + GRACE_SECONDS)
    took = min(plan.seconds, time.monotonic() - begun)
    for one, client in zip(waiting, clients, strict=True):
        client.give_up()
        client.close()
        one.cancel()
    await asyncio.sleep(0)  # connections close in the loop's next round
    return tally.summary(took)


if __name__ == "__main__":
    # A pause for the collector would be measured as the server's; nothing here goes in circles.
    gc.disable()
    print(json.dumps(uvloop.run(run(plan_of(json.load(sys.stdin))))))
