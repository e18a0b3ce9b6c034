"""What authentication costs a synchronous prediction.

Two API processes over one database, one with authentication and one without; the ways take turns within each round, so
that whatever else the machine does falls on all of them alike. Beside requests per second, the processor time that the
server's event loop spent on a request is read from Linux. Then the same in one process, without a socket: the
application with and without its keys in turn, which no other process's luck can blur.
"""

import asyncio
import statistics
from typing import Any

from ai_platform.access.keyring import Keyring
from ai_platform.serving.authorizer import Authorizer
from ai_platform.storage.postgres import Database
from benchmarks.harness.figures import differences, ratios, series, table
from benchmarks.harness.in_process import application, head, headers, target_of, thread_micros
from benchmarks.harness.measures import loop_seconds
from benchmarks.harness.models import BODY, IRIS
from benchmarks.harness.scenario import Bench, Figures, Scenario
from benchmarks.load.generators import answered
from benchmarks.load.plan import Plan

CONNECTIONS = 16
CHUNK, CHUNKS, WARM = 25, 400, 40
WAYS = ("off", "on", "on, with a limit")


def run(bench: Bench) -> Figures:
    """What each way showed, over sockets and without."""
    site = bench.site
    keys = dict(zip(WAYS, (site.key, site.key, site.new_key(rows_per_second=1e6)), strict=True))
    folders = {auth: site.folder / f"auth-{auth}" for auth in ("off", "on")}
    with site.api(auth="off", data_dir=folders["off"]) as off, site.api(auth="on", data_dir=folders["on"]) as on:

        def measure(way: str) -> Figures:
            server = off if way == "off" else on
            spent = loop_seconds(server.pid)
            seen = answered(Plan(server.port, keys[way], [IRIS], CONNECTIONS, bench.options.seconds))
            spent = loop_seconds(server.pid) - spent
            return {"per_second": seen["per_second"], "us": spent / max(1, seen["right"]) * 1e6}

        rounds = bench.in_turn(WAYS, measure)
    rates, costs = series(rounds, "per_second"), series(rounds, "us")
    bench.begins("in one process")
    chunks = 10 if bench.options.quick else CHUNKS
    return {
        "ways": {way: {"per_second": round(_best(rates[way], 2), 2), "us": round(_best(costs[way], 0), 1),
                       "paired": round(statistics.median(ratios(rates[way], rates["off"])), 3)} for way in WAYS},
        "chunks": chunks,
        "in_process": asyncio.run(_in_process(bench, keys, chunks)),
    }  # fmt: skip


def _best(values: list[float], quartile: int) -> float:
    """What the best quarter of the rounds reached, which is the quarter that other work disturbed least."""
    return statistics.quantiles(values, n=4)[quartile] if len(values) > 1 else values[0]


async def _in_process(bench: Bench, keys: dict[str, str], chunks: int) -> Figures:
    """Microseconds of the thread's processor time for a request, in chunks that take turns."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    body = BODY.encode()
    async with application(bench.site.settings) as made:
        services, target = made.services, target_of(made)
        ring = Keyring(Database.of(bench.site.settings), bench.site.settings.access)
        ring.refresh()
        for number in range(chunks + WARM):
            for way in WAYS:
                services.serving.authorizer = Authorizer(None if way == "off" else ring, services.limiter)
                given = headers(keys[way], body)

                def predict(given: list[tuple[bytes, bytes]] = given) -> None:
                    answer = made.fast_path.answer(target, head(made, given), body, [])
                    if not isinstance(answer, bytes) or not answer.startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(answer)

                cost = thread_micros(predict, CHUNK)
                if number >= WARM:
                    found[way].append(cost)
            await asyncio.sleep(0)
        ring.start()
        ring.stop()
    return {
        way: {"us": round(statistics.median(costs), 1),
              "more_us": round(statistics.median(differences(costs, found["off"])), 1)}
        for way, costs in found.items()
    }  # fmt: skip


def write(figures: Figures) -> dict[str, Any]:
    """Both tables."""
    ways, inner = figures["ways"], figures["in_process"]
    base = ways["off"]
    rows, without = [], []
    for way, seen in ways.items():
        alone, more, share = inner[way], seen["us"] - base["us"], seen["per_second"] / base["per_second"]
        rows.append([way, seen["per_second"], f"{share:.1%}", f"{seen['paired']:.1%}", f"{seen['us']:.0f}",
                     f"{more:+.0f} ({more / base['us']:+.1%})"])  # fmt: skip
        more = alone["more_us"]
        without.append([way, f"{alone['us']:.0f}", f"{more:+.1f} ({more / inner['off']['us']:+.1%})"])
    heads = "Authentication | requests/s | of `off` | paired | µs a request | more than `off`, µs"
    return {
        "table": table(heads, rows),
        "without": table("Authentication | µs a request | more than `off`, µs", without),
    }


SCENARIO = Scenario("auth", "What authentication costs", run, write, "auth", rounds=30, seconds=1)
