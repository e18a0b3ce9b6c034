"""Restarts under load: SIGTERM to one of two API processes, ten times, while clients that never try again count.

The parent of the API processes starts another in the place of one that ends. wrk keeps its connections, opens another
after `Connection: close`, and counts what broke, what timed out and every status of 400 and more.
"""

import signal
import time
from typing import Any

from benchmarks.harness.cores import ALL, placement
from benchmarks.harness.models import IRIS
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target
from benchmarks.harness.site import Server
from benchmarks.load.generators import closed_loop
from benchmarks.load.plan import Plan
from harness import eventually

PROCESSES, RESTARTS = 2, 10
END_SECONDS, START_SECONDS = 30.0, 60.0
PAUSE_SECONDS = 1.0


def run(bench: Bench) -> Figures:
    """How many requests there were, and how many failed."""
    site = bench.site
    times = 1 if bench.options.quick else RESTARTS
    with site.api(ALL, PROCESSES) as server:
        longest = times * (END_SECONDS + START_SECONDS)
        generator = closed_loop(Plan(server.port, site.key, [IRIS], seconds=longest))
        took = []
        for number in range(times):
            time.sleep(PAUSE_SECONDS)
            bench.begins(f"SIGTERM to one of {PROCESSES}")
            took.append(round(_restarted(server, number), 1))
        time.sleep(PAUSE_SECONDS)
        generator.stop()
        seen = generator.seen()
    latencies = {name: round(seen["calls"]["iris"][name], 2) for name in ("p50_ms", "p99_ms", "max_ms")}
    return {
        "placement": placement(ALL),
        "processes": PROCESSES,
        "restart_seconds": took,
        "requests": seen["requests"],
        "seconds": round(seen["seconds"]),
        "failures": seen["failures"],
        **latencies,
    }


def _restarted(server: Server, number: int) -> float:
    """End one, and wait until another serves in its place; seconds that it took."""
    before = server.serving()
    ended = before[number % len(before)]
    begun = time.monotonic()
    ended.send_signal(signal.SIGTERM)
    eventually(lambda: not ended.is_running(), END_SECONDS, "the process ends")
    known = {each.pid for each in before}
    eventually(
        lambda: len(server.serving()) == len(before) and {each.pid for each in server.serving()} - known,
        START_SECONDS,
        "another takes its place",
    )
    return time.monotonic() - begun


def write(figures: Figures) -> dict[str, Any]:
    """What the clients saw."""
    took = ", ".join(f"{each:.1f}" for each in figures["restart_seconds"])
    return {"took": took, "restarts": len(figures["restart_seconds"])}


TARGETS = (
    Target("SIGTERM and restart of one of two processes under load, ten times: requests that failed", "none",
           lambda it: sum(it["failures"].values()), at_most=0),
)  # fmt: skip
SCENARIO = Scenario("restart", "Restarts under load", run, write, "synchronous", targets=TARGETS)
