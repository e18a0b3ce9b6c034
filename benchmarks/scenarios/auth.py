"""What authentication costs a synchronous prediction: `python benchmarks/scenarios/auth.py [--rounds 120] [--seconds 0.25]`.

Two API processes over one database, one with authentication and one without, on kept connections. Rounds are short and
the ways take turns within each, so that whatever else the machine does falls on all of them alike. Beside requests a
second, the processor time that the server spent on a request is read from Linux. Then the same in one process, without
a socket: the application with and without its keys in turn, 25 requests each, which no other process's luck can blur.
It writes docs/benchmarks/auth.md.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from ai_platform import settings as configuration  # noqa: E402
from ai_platform.access import keys  # noqa: E402
from ai_platform.access.keyring import Keyring  # noqa: E402
from ai_platform.access.terms import Terms  # noqa: E402
from ai_platform.api.app import create  # noqa: E402
from ai_platform.api.express import Express  # noqa: E402
from ai_platform.api.gate import Gate  # noqa: E402
from ai_platform.api.head import Head  # noqa: E402
from ai_platform.local.servers import running_servers  # noqa: E402
from ai_platform.settings import Settings  # noqa: E402
from ai_platform.storage import postgres  # noqa: E402
from ai_platform.storage.schema import migrate  # noqa: E402
from benchmarks.harness import machine  # noqa: E402
from harness import START_SECONDS, Platform, eventually, publish_iris, train_iris  # noqa: E402

CONNECTIONS = 16
CHUNK, WARM = 25, 40
BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
WAYS = ("off", "on", "on, with a limit")


@contextlib.contextmanager
def processes() -> Iterator[tuple[Settings, dict[str, tuple[Platform, str]]]]:
    """Each way: the process that answers it, and the key that its requests carry."""
    with tempfile.TemporaryDirectory() as name, running_servers() as servers, contextlib.ExitStack() as stack:
        folder = Path(name)
        iris = train_iris(folder)
        base = configuration.load(auth="off", database_url=servers.postgres_url, redis_url=servers.redis_url)
        models = base.models.model_copy(update={"trusted_keys_dir": iris.keys, "cache_dir": folder / "models"})
        base = base.model_copy(update={"models": models})
        migrate(base)
        publish_iris(base, iris)
        with postgres.connect(base, "benchmark") as connection:
            free, _ = keys.create(connection, Terms(owner="b", scopes=["predict"]), "benchmark", None)
            bound, _ = keys.create(
                connection, Terms(owner="b", scopes=["predict"], rows_a_second=1e6), "benchmark", None
            )
        platforms = {}
        for auth in ("off", "on"):
            (folder / auth).mkdir()
            settings = base.model_copy(update={"auth": auth, "data_dir": folder / auth})
            platforms[auth] = Platform(settings, folder / auth)
            stack.callback(platforms[auth].stop)
            platforms[auth].start("api")
        for auth in ("off", "on"):
            eventually(lambda auth=auth: platforms[auth].answers("/health/ready"), START_SECONDS, "ready")  # type: ignore[misc]
        yield (
            base,
            {
                "off": (platforms["off"], free),
                "on": (platforms["on"], free),
                "on, with a limit": (platforms["on"], bound),
            },
        )


@dataclass
class Seen:
    """What the rounds of one way showed: requests a second, and processor seconds of the server for each request."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def undisturbed(self) -> tuple[float, float]:
        """The quarter of the rounds that went best ends at so many requests a second, and at such a cost."""
        return statistics.quantiles(self.rates, n=4)[2], statistics.quantiles(self.costs, n=4)[0]


class Callers:
    """Kept connections to one process, each of which sends when its answer has come."""

    def __init__(self, where: Platform, key: str) -> None:
        self._port = where.port
        self._schedule = Path(f"/proc/{where.parts['api'].pid}/schedstat")
        self._request = (
            f"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        ).encode() + BODY
        self._connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self) -> None:
        for _ in range(CONNECTIONS):
            self._connections.append(await asyncio.open_connection("127.0.0.1", self._port))

    async def round(self, seconds: float, seen: Seen) -> None:
        begun, spent = time.perf_counter(), self._spent()
        counts = await asyncio.gather(*(self._call(*each, begun + seconds) for each in self._connections))
        seen.costs.append((self._spent() - spent) / sum(counts))
        seen.rates.append(sum(counts) / (time.perf_counter() - begun))

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            if head[9:12] != b"200":
                raise RuntimeError(head.decode())
            await reader.readexactly(int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
            count += 1
        return count

    def _spent(self) -> float:
        """Seconds that the process's event loop has been on a processor."""
        return int(self._schedule.read_text(encoding="ascii").split()[0]) / 1e9 if self._schedule.exists() else 0.0


async def measure(ways: dict[str, tuple[Platform, str]], rounds: int, seconds: float) -> dict[str, Seen]:
    """What each way showed; nobody's first place is always the same one's."""
    callers = {way: Callers(*where) for way, where in ways.items()}
    for each in callers.values():
        await each.connect()
        await each.round(2.0, Seen())  # warms up, not counted
    seen = {way: Seen() for way in WAYS}
    for number in range(rounds):
        first = number % len(WAYS)
        for way in WAYS[first:] + WAYS[:first]:
            await callers[way].round(seconds, seen[way])
    return seen


async def in_process(settings: Settings, texts: dict[str, str], chunks: int) -> dict[str, list[float]]:
    """Microseconds of the thread's processor time for a request, one figure for each chunk of 25."""
    application = create(settings)
    app, express = application.routes, application.express
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    async with app.router.lifespan_context(app):
        services = app.state.services
        ring = Keyring(settings)
        ring.refresh()
        while not services.directory.summary():  # noqa: ASYNC110  # a thread loads the model
            await asyncio.sleep(0.1)
        for number in range(chunks + WARM):
            for way in WAYS:
                services.gate = Gate(None if way == "off" else ring, services.limiter)
                cost = _chunk(express, texts[way])
                if number >= WARM:
                    found[way].append(cost)
            await asyncio.sleep(0)
        ring.start()
        ring.stop()
    return found


def _chunk(express: Express, key: str) -> float:
    headers = [
        (b"host", b"localhost"),
        (b"authorization", b"Bearer " + key.encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BODY)).encode()),
    ]
    target = express.targets[b"/predict/"]
    begun = time.thread_time()
    for _ in range(CHUNK):
        head = Head("POST", target.route, b"/predict/", b"", headers)
        answer = express.answer(target, head, BODY, [])
        if not isinstance(answer, bytes) or not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer)
    return (time.thread_time() - begun) / CHUNK * 1e6


def in_process_table(found: dict[str, list[float]], chunks: int) -> list[str]:
    """Its part of the page."""
    base = statistics.median(found["off"])
    rows = []
    for way in WAYS:
        more = statistics.median(ours - theirs for ours, theirs in zip(found[way], found["off"], strict=True))
        told = "" if way == "off" else f"{more:+.1f} ({more / base:+.1%})"
        rows.append(f"| {way} | {statistics.median(found[way]):.0f} | {told} |")
    how = (
        f"The same application in one process and without a socket, {chunks} times {CHUNK} requests each way in turn: "
        "processor time of its thread, and the median of the differences between neighbours. A real request costs the "
        "server's reading and writing besides, so that the share is smaller there."
    )
    header = "| Authentication | µs a request | more than `off`, µs |"
    return ["## Without the sockets", "", how, "", header, "| --- | ---: | ---: |", *rows, ""]


def page(seen: dict[str, Seen], rounds: int, seconds: float, loaded: float, inner: list[str]) -> str:
    """The page that is published."""
    rows = []
    best, least = seen["off"].undisturbed()
    for way in WAYS:
        rate, cost = seen[way].undisturbed()
        shares = [ours / theirs for ours, theirs in zip(seen[way].rates, seen["off"].rates, strict=True)]
        share = "" if way == "off" else f"{rate / best:.1%}"
        paired = "" if way == "off" else f"{statistics.median(shares):.1%}"
        more = "" if way == "off" else f"{(cost - least) * 1e6:+.0f} ({cost / least - 1:+.1%})"
        rows.append(f"| {way} | {rate:,.0f} | {share} | {paired} | {cost * 1e6:.0f} | {more} |")
    how = (
        f"`POST /predict/` with the iris example, one API process, {CONNECTIONS} kept connections on the same machine, "
        f"every request with the same headers. {rounds} rounds of {seconds:g} s for each way, taken in turn. Requests "
        "a second and processor time (of the server's event loop) are quartiles: what the best quarter of the rounds "
        "reached, which is the quarter that other work disturbed least. The paired share is the median over all rounds "
        "of what each showed beside `off`."
    )
    where = (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine.place()}; "
        f"load average {loaded:.1f} before the first round. Measure yours: `make bench-auth`."
    )
    if loaded > 1:
        where = f"**Other work ran on the machine at the same time.**\n\n{where}"
    header = "| Authentication | requests a second | of `off` | paired | µs a request | more than `off`, µs |"
    lines = [
        "# What authentication costs",
        "",
        how,
        "",
        header,
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        *inner,
        where,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="What authentication costs a synchronous prediction.")
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each measurement")
    parser.add_argument("--chunks", type=int, default=400, help="of 25 requests, in one process")
    options = parser.parse_args()
    loaded = os.getloadavg()[0]
    with processes() as (settings, ways):
        seen = asyncio.run(measure(ways, options.rounds, options.seconds))
        inner = asyncio.run(in_process(settings, {way: key for way, (_, key) in ways.items()}, options.chunks))
    text = page(seen, options.rounds, options.seconds, loaded, in_process_table(inner, options.chunks))
    (ROOT / "docs" / "benchmarks" / "auth.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
