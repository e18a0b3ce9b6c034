"""A small closed-loop HTTP load generator on asyncio streams: N connections, each sends when its answer has come.

`python benchmarks/load/by_count.py HOST PORT PATH --connections N --seconds S [--requests N] [--body JSON]` prints JSON:
requests, seconds, errors (any status other than 200 and 202), and the latencies' p50 and p99 in milliseconds.
"""

import argparse
import asyncio
import json
import statistics
import time

import uvloop


class Tally:
    """What the connections saw."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.started = 0


async def connection(options: argparse.Namespace, request: bytes, tally: Tally, until: float) -> None:
    reader, writer = await asyncio.open_connection(options.host, options.port)
    try:
        while time.perf_counter() < until and (not options.requests or tally.started < options.requests):
            tally.started += 1
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            tally.latencies.append(time.perf_counter() - begun)
            if head[9:12] not in {b"200", b"202"}:
                tally.errors += 1
    finally:
        writer.close()


async def run(options: argparse.Namespace) -> dict[str, float]:
    body = options.body.encode()
    request = (
        f"POST {options.path} HTTP/1.1\r\nHost: {options.host}:{options.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    tally = Tally()
    begun = time.perf_counter()
    until = begun + options.seconds
    await asyncio.gather(*(connection(options, request, tally, until) for _ in range(options.connections)))
    seconds = time.perf_counter() - begun
    cuts = statistics.quantiles(tally.latencies, n=100)
    return {
        "requests": len(tally.latencies),
        "seconds": seconds,
        "errors": tally.errors,
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--body", default='{"features": [5.1, 3.5, 1.4, 0.2]}')
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
