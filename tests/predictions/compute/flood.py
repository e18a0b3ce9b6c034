"""Requests that come whether or not the ones before were answered: an open loop, as the world is."""

import asyncio
import json
import random
from dataclasses import dataclass

from benchmarks.load import open_loop
from benchmarks.load.plan import NUMBERED, Call, Phase, Plan

CONNECTIONS = 1_000


@dataclass(frozen=True)
class Told:
    """One answer.

    Attributes:
        number: what was sent.
        status: of the answer.
        headers: of the answer, names in lower case.
        body: decoded.
    """

    number: float
    status: int
    headers: dict[str, str]
    body: dict[str, object]


def flood(port: int, model: str, row_seconds: float, rate: float, seconds: float) -> list[Told]:
    """Send rows of the costly model at random moments, so many per second, and gather what is answered."""
    call = Call("row", f"/models/{model}/predict", f'{{"features": [{NUMBERED}, 0.0, {row_seconds}]}}')
    plan = Plan(port, "", [call], CONNECTIONS, phases=[Phase(rate, seconds)], seed=random.randrange(10**6))
    ended: list[open_loop.Due] = []
    asyncio.run(open_loop.run(plan, ended=ended.append))
    return [_told(due) for due in ended]


def _told(due: open_loop.Due) -> Told:
    row = json.loads(due.request.partition(b"\r\n\r\n")[2])["features"]
    head, _, body = due.answer.partition(b"\r\n\r\n")
    _, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Told(row[0], due.status, headers, json.loads(body or "{}"))
