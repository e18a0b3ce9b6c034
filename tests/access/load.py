"""More requests than a limit allows, offered in an open loop, and what was admitted of them."""

import asyncio
import json
import time
from dataclasses import dataclass, field

from benchmarks.load import open_loop
from benchmarks.load.plan import Call, Phase, Plan

from harness import SAMPLE

CONNECTIONS = 8


@dataclass
class Seen:
    """What callers were answered: when each admitted request was, and how many were refused."""

    admitted: list[float] = field(default_factory=list)
    refused: int = 0
    begun: float = field(default_factory=time.monotonic)

    def allowed(self, rate: float, burst: int) -> float:
        """What the limit admits between the first request and the last that was admitted."""
        return burst + rate * (self.admitted[-1] - self.begun)

    def note(self, due: open_loop.Due) -> None:
        """An answer that came now."""
        assert due.status in {200, 429}, due.status
        if due.status == 200:
            self.admitted.append(time.monotonic())
        else:
            self.refused += 1


def offer(ports: list[int], key: str, rate: float, seconds: float) -> Seen:
    """Send `rate` requests per second for so many seconds, as many to each port."""
    return asyncio.run(_offer(ports, key, rate, seconds))


async def _offer(ports: list[int], key: str, rate: float, seconds: float) -> Seen:
    seen = Seen()
    call, phase = Call("iris", "/predict/", json.dumps(SAMPLE)), Phase(rate / len(ports), seconds)
    plans = [Plan(port, key, [call], CONNECTIONS, phases=[phase], seed=port) for port in ports]
    await asyncio.gather(*(open_loop.run(plan, ended=seen.note) for plan in plans))
    return seen
