"""More requests than a limit allows, offered evenly, and what was admitted of them."""

import asyncio
import json
import time
from dataclasses import dataclass, field

from harness import SAMPLE

BODY = json.dumps(SAMPLE).encode()
CALLERS = 8


@dataclass
class Seen:
    """What callers were answered: when each admitted request was sent, and how many were refused."""

    admitted: list[float] = field(default_factory=list)
    refused: int = 0
    begun: float = field(default_factory=time.monotonic)

    def allowed(self, rate: float, burst: int) -> float:
        """What the limit admits between the first request and the last that was admitted."""
        return burst + rate * (self.admitted[-1] - self.begun)


def offer(ports: list[int], key: str, rate: float, seconds: float) -> Seen:
    """Send `rate` requests a second for so many seconds, to the ports in turn."""
    return asyncio.run(_offer(ports, key, rate, seconds))


async def _offer(ports: list[int], key: str, rate: float, seconds: float) -> Seen:
    seen = Seen()
    callers = [_call(ports[number % len(ports)], key, CALLERS / rate, seconds, seen) for number in range(CALLERS)]
    await asyncio.gather(*callers)
    seen.admitted.sort()
    return seen


async def _call(port: int, key: str, pause: float, seconds: float, seen: Seen) -> None:
    request = (
        f"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = seen.begun
    while due < seen.begun + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        due = max(due + pause, sent)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
        status = head[9:12]
        assert status in {b"200", b"429"}, head
        if status == b"200":
            seen.admitted.append(sent)
        else:
            seen.refused += 1
    writer.close()
