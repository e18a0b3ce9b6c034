"""A slow model at full load beside a fast one: what iris and the health check wait, with and without the neighbour.

Iris comes in an open loop, at the same rate both times: half of what one core can answer. A closed loop would send
less as soon as the neighbour delays it, and so hide what is asked. The neighbour is a closed loop of eight connections,
so that it always has work waiting. The server has one core for both, and whatever processes it starts: the load's core
is kept clear of it, because a generator that waits for a core would measure its own wait.
"""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.results import Options
from benchmarks.harness.site import Server, Site
from benchmarks.load.generators import measure, started
from benchmarks.load.plan import Call, Phase, Plan

MODELS = ("iris", "slow")
LOAD = 0.5
HEALTH_A_SECOND = 50.0
NEIGHBOURS = 8
LONGEST_RATE = 4_000.0  # beyond it, the generator would be busier than the server
CONNECTIONS = 256
WARM_SECONDS = 1.0


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """Latencies of iris and of the health check over the rounds, alone and beside the neighbour."""
    rounds = []
    with site.api(SERVER) as server:
        advance("peak of iris")
        peak = _peak(server, site, options)
        rate = min(LOAD * peak, LONGEST_RATE)
        for number in range(options.rounds):
            advance("alone")
            alone = _iris(server, site, rate, number, options)
            advance("beside the 20 ms model")
            rounds.append({"alone": alone, **_beside(server, site, rate, number, options)})
    return {"placement": placement(SERVER), "peak": peak, "rate": rate, "neighbours": NEIGHBOURS, "rounds": rounds}


def steps(options: Options) -> int:
    """How often `run` advances."""
    return 1 + options.rounds * 2


def _peak(server: Server, site: Site, options: Options) -> float:
    call = Call("iris", "/predict/", site.models["iris"].body(1))
    plan = Plan(server.port, site.key, [call], 16, options.seconds)
    if not options.quick:
        measure(plan)
    return float(measure(plan)["a_second"])


def _iris(server: Server, site: Site, rate: float, seed: int, options: Options) -> dict[str, Any]:
    calls = [
        Call("iris", "/predict/", site.models["iris"].body(1), weight=rate),
        Call("live", "/health/live", weight=HEALTH_A_SECOND),
    ]
    # The first phase opens the connections; it is not counted.
    phases = [
        Phase(rate + HEALTH_A_SECOND, min(WARM_SECONDS, options.seconds)),
        Phase(rate + HEALTH_A_SECOND, options.seconds),
    ]
    plan = Plan(server.port, site.key, calls, CONNECTIONS, phases=phases, seed=seed)
    _, seen = started("open_loop", plan, first=True).seen()["phases"]
    return {
        "a_second": seen["a_second"],
        "iris": seen["calls"].get("iris"),
        "live": seen["calls"].get("live"),
        "failures": seen["failures"],
        "late_ms": seen["late_ms"],
    }


def _beside(server: Server, site: Site, rate: float, seed: int, options: Options) -> dict[str, Any]:
    slow = site.models["slow"]
    plan = Plan(server.port, site.key, [Call("slow", slow.path, slow.body(1))], NEIGHBOURS, options.seconds + 60)
    neighbour = started("closed_loop", plan)
    time.sleep(min(1.0, options.seconds))  # the queue of the slow model has filled by then
    beside = _iris(server, site, rate, seed, options)
    neighbour.stop()
    seen = neighbour.seen()
    return {"beside": beside, "neighbour_a_second": seen["a_second"], "neighbour_failures": seen["failures"]}
