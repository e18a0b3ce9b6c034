"""What a generator is to send, where, and for how long."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

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
        rate: requests per second, as a Poisson process.
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
        port: of the server.
        key: API key; the same headers go to every subject, references too.
        calls: kinds of requests, drawn by their weights.
        connections: how many (closed loop), or how many at most (open loop).
        seconds: of a closed loop; wrk measures whole seconds, at least one.
        requests: after how many answers a closed loop ends, if that is sooner; 0 for no such end.
        phases: of an open loop.
        seed: of all that is drawn.
        host: address of the server.
    """

    port: int
    key: str
    calls: list[Call]
    connections: int = 16
    seconds: float = 0.0
    requests: int = 0
    phases: list[Phase] = field(default_factory=list)
    seed: int = 7
    host: str = "127.0.0.1"


class Requests:
    """The requests of one kind, as they go over the wire.

    Args:
        call: the kind.
        key: API key; empty for none.
    """

    def __init__(self, call: Call, key: str) -> None:
        lines = [f"{'POST' if call.body else 'GET'} {call.path} HTTP/1.1", "Host: localhost"]
        if key:
            lines.append(f"Authorization: Bearer {key}")
        if call.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(call.body.encode())}"]
        self._same = ("\r\n".join(lines) + f"\r\n\r\n{call.body}").encode()
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
    return random.SystemRandom().randrange(10_000_000, 90_000_000)


def arrivals(rate: float, seconds: float, draws: random.Random) -> Iterator[float]:
    """Times of a Poisson process from 0 to `seconds`, ascending."""
    at = draws.expovariate(rate)
    while at < seconds:
        yield at
        at += draws.expovariate(rate)
