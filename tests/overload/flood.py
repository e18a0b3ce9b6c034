"""Requests that come whether or not the ones before were answered: an open loop, as the world is."""

import asyncio
import json
import random
import time
from dataclasses import dataclass

_SECONDS = 30.0


@dataclass(frozen=True)
class Told:
    """One answer.

    Attributes:
        number: what was sent.
        status: of the answer.
        headers: of the answer, names in lower case.
        body: decoded.
        seconds: from the request to the answer.
    """

    number: float
    status: int
    headers: dict[str, str]
    body: dict[str, object]
    seconds: float


def flood(port: int, model: str, row_seconds: float, rate: float, seconds: float) -> list[Told]:
    """Send rows of the costly model at random moments, so many a second, and gather what is answered."""
    return asyncio.run(_flood(port, model, row_seconds, rate, seconds))


async def _flood(port: int, model: str, row_seconds: float, rate: float, seconds: float) -> list[Told]:
    asked: list[asyncio.Task[Told]] = []
    moment = time.perf_counter()
    end = moment + seconds
    while moment < end:
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        row = [float(len(asked)), 0.0, row_seconds]
        asked.append(asyncio.create_task(_ask(port, model, row)))
        moment += random.expovariate(rate)
    return list(await asyncio.gather(*asked))


async def _ask(port: int, model: str, row: list[float]) -> Told:
    body = json.dumps({"features": row})
    request = (
        f"POST /models/{model}/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    begun = time.perf_counter()
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.encode())
        head, _, answered = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Told(row[0], int(first.split()[1]), headers, json.loads(answered), time.perf_counter() - begun)
