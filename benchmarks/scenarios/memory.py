"""Memory over minutes: mixed requests at half of the capacity, right and wrong ones, and PSS once a second."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.measures import pss_mb
from benchmarks.harness.results import Options
from benchmarks.harness.site import Server, Site
from benchmarks.load.generators import started
from benchmarks.load.plan import Call, Phase, Plan

MODELS = ("iris", "forest", "pipeline")
LOAD = 0.5
MINUTES, QUICK_SECONDS = 10.0, 2.0
CONNECTIONS = 256


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """PSS once a second, and what the load saw."""
    seconds = QUICK_SECONDS if options.quick else options.minutes * 60
    with site.api(SERVER) as server:
        advance("capacity for the mix")
        closed = Plan(server.port, site.key, mix(site), 16, options.seconds)
        if not options.quick:
            started("closed_loop", closed).seen()
        capacity = started("closed_loop", closed).seen()["a_second"]
        rate = LOAD * capacity
        advance(f"{seconds / 60:.1g} minutes at {rate:.0f} requests a second")
        samples, seen = _watched(server, site, rate, seconds)
    return {"placement": placement(SERVER), "capacity": capacity, "rate": rate, "pss_mb": samples, "seen": seen}


def steps(_options: Options) -> int:
    """How often `run` advances."""
    return 2


def mix(site: Site) -> list[Call]:
    """What comes: mostly single rows, some of 64, some that are refused."""
    iris, forest, pipeline = (site.models[name] for name in MODELS)
    return [
        Call("iris", "/predict/", iris.body(1), weight=50),
        Call("forest", forest.path, forest.body(1), weight=20),
        Call("pipeline", pipeline.path, pipeline.body(1), weight=15),
        Call("iris, 64 rows", "/predict/", iris.body(64), weight=5),
        Call("forest, 64 rows", forest.path, forest.body(64), weight=2),
        Call("too few values", "/predict/", '{"features": [5.1, 3.5]}', 422, weight=3),
        Call("a text for a number", pipeline.path, '{"features": ["x", 1, 1, 1, "basic", "NO"]}', 422, weight=2),
        Call("no JSON", "/predict/", '{"features": [5.1, ', 400, weight=2),
        Call("no such model", "/models/nobody/predict", iris.body(1), 404, weight=1),
    ]


def _watched(server: Server, site: Site, rate: float, seconds: float) -> tuple[list[float], dict[str, Any]]:
    plan = Plan(server.port, site.key, mix(site), CONNECTIONS, phases=[Phase(rate, seconds)])
    generator = started("open_loop", plan)
    samples = []
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        samples.append(pss_mb(server.pid))
        time.sleep(max(0.0, begun + len(samples) * min(1.0, seconds / 10) - time.monotonic()))
    (seen,) = generator.seen()["phases"]
    return samples, {name: seen[name] for name in ("a_second", "requests", "failures", "calls", "late_ms")}
