"""What a generator is to send, where, and for how long."""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

# In a body: eight digits that become different ones in each request, for models whose answers are cached.
NUMBERED = "00000000"


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request.

    Attributes:
        name: under which its answers are counted.
        path: with a leading slash.
        body: JSON, perhaps with NUMBERED in it; empty for a GET.
        expect: the status that is no failure.
        weight: how often it comes beside the other kinds of a plan.
    """

    name: str
    path: str
    body: str = ""
    expect: int = 200
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of an open loop.

    Attributes:
        rate: requests a second, as a Poisson process.
        seconds: how long requests arrive.
        drains: whether the next phase waits until all of this one's are answered.
    """

    rate: float
    seconds: float
    drains: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run of a generator.

    Attributes:
        port: on 127.0.0.1.
        key: API key; the same headers go to every subject, references too.
        calls: kinds of requests, drawn by their weights.
        connections: how many (closed loop), or how many at most (open loop).
        seconds: of a closed loop.
        phases: of an open loop.
        seed: of all that is drawn.
    """

    port: int
    key: str
    calls: list[Call]
    connections: int = 16
    seconds: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    seed: int = 7

    def with_key_hidden(self) -> dict[str, Any]:
        """For the results file."""
        return {**asdict(self), "key": "…"}


def plan_of(document: dict[str, Any]) -> Plan:
    """The plan that `asdict` made the document of."""
    calls = [Call(**call) for call in document["calls"]]
    return Plan(**{**document, "calls": calls, "phases": [Phase(**phase) for phase in document["phases"]]})


class Requests:
    """The requests of one kind, as they go over the wire.

    Args:
        call: the kind.
        plan: where they go.
    """

    def __init__(self, call: Call, plan: Plan) -> None:
        self._same = _request(call, plan)
        self._before, self._numbered, self._after = self._same.partition(NUMBERED.encode())
        self._number = first_number()

    def next(self) -> bytes:
        """Another one."""
        if not self._numbered:
            return self._same
        self._number += 1
        return b"%b%08d%b" % (self._before, self._number, self._after)


def first_number() -> int:
    """Where a run begins to number its requests, hardly ever where another did."""
    return random.SystemRandom().randrange(90_000_000)


def _request(call: Call, plan: Plan) -> bytes:
    head = f"{'POST' if call.body else 'GET'} {call.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
    if plan.key:
        head += f"Authorization: Bearer {plan.key}\r\n"
    if call.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(call.body.encode())}\r\n"
    return f"{head}\r\n{call.body}".encode()


def arrivals(rate: float, seconds: float, draws: random.Random) -> Iterator[float]:
    """Times of a Poisson process from 0 to `seconds`, ascending."""
    at = draws.expovariate(rate)
    while at < seconds:
        yield at
        at += draws.expovariate(rate)
