"""Memory over minutes: mixed requests at half of the capacity, right and wrong ones, and PSS once a second."""

import time
from dataclasses import replace
from typing import Any

from benchmarks.harness import plots
from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.figures import table
from benchmarks.harness.measures import pss_mb
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target
from benchmarks.harness.site import Site
from benchmarks.load.generators import open_loop
from benchmarks.load.plan import Call, Phase, Plan

LOAD = 0.5
QUICK_SECONDS = 2.0
CONNECTIONS = 256


def run(bench: Bench) -> Figures:
    """PSS once a second, and what the load saw."""
    site, options = bench.site, bench.options
    seconds = QUICK_SECONDS if options.quick else options.minutes * 60
    with site.api(SERVER) as server:
        bench.begins("capacity for the mix")
        closed = Plan(server.port, site.key, mix(site), seconds=options.seconds)
        seen = bench.warmed(closed)
        # What is refused as it should be is as much work as the generator counts as failures.
        capacity = seen["requests"] / seen["seconds"]
        rate = LOAD * capacity
        bench.begins(f"{seconds / 60:.1g} minutes at {rate:.0f} requests per second")
        generator = open_loop(replace(closed, connections=CONNECTIONS, phases=[Phase(rate, seconds)]))
        samples: list[float] = []
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            samples.append(round(pss_mb(server.pid), 1))
            time.sleep(max(0.0, begun + len(samples) * min(1.0, seconds / 10) - time.monotonic()))
        (seen,) = generator.seen()["phases"]
    return {
        "placement": placement(SERVER),
        "capacity": round(capacity),
        "rate": round(rate),
        "requests": {name: each["count"] for name, each in seen["calls"].items()},
        "failures": seen["failures"],
        "pss_mb": samples,
    }


def mix(site: Site) -> list[Call]:
    """What comes: mostly single rows, some of 64, some that are refused."""
    iris, forest, pipeline = (site.models[name] for name in SCENARIO.models)
    return [
        iris.call(weight=50),
        forest.call(weight=20),
        pipeline.call(weight=15),
        iris.call(64, "iris, 64 rows", weight=5),
        forest.call(64, "forest, 64 rows", weight=2),
        Call("too few values", iris.path, '{"features": [5.1, 3.5]}', 422, weight=3),
        Call("a text for a number", pipeline.path, '{"features": ["x", 1, 1, 1, "basic", "NO"]}', 422, weight=2),
        Call("no JSON", iris.path, '{"features": [5.1, ', 400, weight=2),
        Call("no such model", "/models/nobody/predict", iris.body(1), 404, weight=1),
    ]


def halves(samples: list[float]) -> tuple[float, float]:
    """The peaks of the first and the second half."""
    middle = len(samples) // 2
    return max(samples[:middle]), max(samples[middle:])


def growth(figures: Figures) -> float:
    """MB from the peak of the first half to that of the second."""
    first, second = halves(figures["pss_mb"])
    return round(second - first, 1)


def write(figures: Figures) -> dict[str, Any]:
    """What came, and the peaks."""
    samples = figures["pss_mb"]
    rows = [*figures["requests"].items()]
    return {"table": table("Requests, as expected | count", rows), "looks": len(samples), "peaks": halves(samples)}


TARGETS = (
    Target("PSS under mixed load: peak of the second half above the first half's", "at most 2 MB", growth, at_most=2,
           unit=" MB"),
)  # fmt: skip


def draw(figures: Figures) -> plots.Drawing:
    """PSS over the time."""
    figure, (axes,) = plots.drawing(9, 3)
    samples = figures["pss_mb"]
    axes.plot(samples, color=plots.OURS, lw=1)
    axes.axvline(len(samples) / 2, color=plots.THEIRS, ls="--", lw=0.8)
    axes.set(xlabel="seconds", ylabel="PSS, MB", ylim=(0, max(samples) * 1.15))
    return figure


SCENARIO = Scenario(
    "memory", "Memory under load", run, write, "synchronous",
    models=("iris", "forest", "pipeline"), targets=TARGETS, draw=draw,
)  # fmt: skip
