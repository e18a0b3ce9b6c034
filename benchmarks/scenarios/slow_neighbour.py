"""A slow model at full load beside a fast one: what iris and the health check wait, with and without the neighbour.

Iris comes in an open loop, at the same rate both times: half of what one core can answer. A closed loop would send
less as soon as the neighbour delays it, and so hide what is asked. The neighbour is a closed loop of eight connections,
so that it always has work waiting. The server has one core for both, and whatever processes it starts: the load's core
is kept clear of it, because a generator that waits for a core would measure its own wait.
"""

import statistics
import time
from dataclasses import replace
from typing import Any

from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.figures import quotient, spread, spreads, table, total
from benchmarks.harness.models import IRIS
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target
from benchmarks.load.generators import closed_loop, open_loop
from benchmarks.load.plan import Call, Phase, Plan

LOAD = 0.5
HEALTH_PER_SECOND = 50.0
NEIGHBOURS = 8
MAX_RATE = 4_000.0  # beyond it, the generator would be busier than the server
CONNECTIONS = 256
WARM_SECONDS = 1.0
WAYS = ("alone", "beside the 20 ms model")
KINDS = {"iris": "iris", "live": "`GET /health/live`"}
LATENCIES = ("p50_ms", "p90_ms", "p99_ms", "max_ms")


def run(bench: Bench) -> Figures:
    """Latencies of iris and of the health check over the rounds, alone and beside the neighbour."""
    site, options = bench.site, bench.options
    seen: dict[str, list[Figures]] = {way: [] for way in WAYS}
    neighbours = []
    with site.api(SERVER) as server:
        bench.begins("peak of iris")
        closed = Plan(server.port, site.key, [IRIS], seconds=options.seconds)
        peak = bench.warmed(closed)["per_second"]
        rate = min(LOAD * peak, MAX_RATE)
        calls = [replace(IRIS, weight=rate), Call("live", "/health/live", weight=HEALTH_PER_SECOND)]
        # The first phase opens the connections; it is not counted.
        lengths = (min(WARM_SECONDS, options.seconds), options.seconds)
        phases = [Phase(rate + HEALTH_PER_SECOND, length) for length in lengths]
        plan = replace(closed, calls=calls, connections=CONNECTIONS, phases=phases)
        work = replace(closed, calls=[site.models["slow"].call()], connections=NEIGHBOURS, seconds=sum(lengths) + 60)
        for number in range(options.rounds):
            bench.begins(WAYS[0])
            seen[WAYS[0]].append(open_loop(replace(plan, seed=number), first=True).seen()["phases"][1])
            bench.begins(WAYS[1])
            neighbour = closed_loop(work)
            time.sleep(min(1.0, options.seconds))  # the queue of the slow model has filled by then
            seen[WAYS[1]].append(open_loop(replace(plan, seed=number), first=True).seen()["phases"][1])
            neighbour.stop()
            neighbours.append(neighbour.seen()["per_second"])
    latencies = {
        way: {kind: [each["calls"].get(kind, {}) for each in rounds] for kind in KINDS} for way, rounds in seen.items()
    }
    tails = zip(*(latencies[way]["iris"] for way in WAYS), strict=True)
    return {
        "placement": placement(SERVER),
        "peak": round(peak),
        "rate": round(rate),
        "neighbour_per_second": round(statistics.median(neighbours), 1),
        "ways": {
            way: {kind: spreads(rounds, *LATENCIES) for kind, rounds in kinds.items()}
            for way, kinds in latencies.items()
        },
        "ratio": spread(quotient(beside.get("p99_ms"), alone.get("p99_ms")) for alone, beside in tails),
        "failures": total(each["failures"] for rounds in seen.values() for each in rounds),
    }


def write(figures: Figures) -> dict[str, Any]:
    """Latencies by way and kind of request."""
    rows = [
        (f"{name}, {way}", *(figures["ways"][way][kind][latency] for latency in LATENCIES))
        for way in WAYS
        for kind, name in KINDS.items()
    ]
    return {"table": table("What | p50 | p90 | p99 | longest", rows)}


TARGETS = (
    Target("Iris beside the 20 ms model at full load, p99 beside its p99 alone", "at most 3 times",
           lambda it: it["ratio"], at_most=3),
    Target("`GET /health/live` meanwhile, p99", "under 20 ms", lambda it: it["ways"][WAYS[1]]["live"]["p99_ms"],
           at_most=20, unit=" ms"),
)  # fmt: skip
SCENARIO = Scenario(
    "slow-neighbour", "A slow neighbour", run, write, "synchronous", models=("iris", "slow"), targets=TARGETS
)
