"""More than there is room for: the 20 ms model, open loop, from a fifth of its capacity to ten times it, and back."""

from collections.abc import Callable
from typing import Any

from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.results import Options
from benchmarks.harness.site import Site
from benchmarks.load.generators import started
from benchmarks.load.plan import Call, Phase, Plan

MODELS = ("iris", "slow")
LOADS = (0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0)
NORMAL, STRAINED, HEAVIEST = 0.5, 0.8, 10.0
# The pool of the client; the platform itself holds thousands.
CONNECTIONS = 2_000
RECOVERY_SECONDS = 10.0
# A second is normal again when its median is at most this many times the one at the same load before.
NORMAL_FACTOR = 1.5
CLOSED_CONNECTIONS = 8


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """Figures by load, each a list over the rounds, and how the platform comes back afterwards."""
    slow = site.models["slow"]
    call = Call("slow", slow.path, slow.body(1))
    phase_seconds = options.seconds if options.quick else max(6.0, options.seconds)
    rounds = []
    with site.api(SERVER) as server:
        for number in range(options.rounds):
            advance("capacity")
            closed = Plan(server.port, site.key, [call], CLOSED_CONNECTIONS, options.seconds)
            if not options.quick:
                started("closed_loop", closed).seen()
            capacity = started("closed_loop", closed).seen()["a_second"]
            advance(f"0.2 to 10 times {capacity:.0f} a second")
            rounds.append(
                _round(Plan(server.port, site.key, [call], CONNECTIONS, seed=number), capacity, phase_seconds, options)
            )
    return {"placement": placement(SERVER), "loads": loads(options), "phase_seconds": phase_seconds, "rounds": rounds}


def loads(options: Options) -> tuple[float, ...]:
    """Which loads are offered, in capacities."""
    return (NORMAL, STRAINED, HEAVIEST) if options.quick else LOADS


def steps(options: Options) -> int:
    """How often `run` advances."""
    return options.rounds * 2


def _round(plan: Plan, capacity: float, seconds: float, options: Options) -> dict[str, Any]:
    phases = [Phase(load * capacity, seconds) for load in loads(options)]
    # What the heaviest load has left behind meets the first requests afterwards.
    phases[-1] = Phase(HEAVIEST * capacity, seconds, drains=False)
    afterwards = 1.0 if options.quick else RECOVERY_SECONDS
    phases.append(Phase(NORMAL * capacity, afterwards))
    whole = Plan(plan.port, plan.key, plan.calls, plan.connections, phases=phases, seed=plan.seed)
    seen = started("open_loop", whole, first=True).seen()["phases"]
    at = {load: _at(phase) for load, phase in zip(loads(options), seen, strict=False)}
    return {
        "capacity": capacity,
        "at": {str(load): figures for load, figures in at.items()},
        "recovery_seconds": recovery_seconds(seen[-1]["windows"], at[NORMAL]["p50_ms"], afterwards),
        "failures_afterwards": seen[-1]["failures"],
    }


def _at(phase: dict[str, Any]) -> dict[str, Any]:
    accepted = phase["calls"].get("slow", {})
    refused = phase["wrong"].get("503", {})
    return {
        "goodput": phase["a_second"],
        "p50_ms": accepted.get("p50_ms"),
        "p99_ms": accepted.get("p99_ms"),
        "refused": refused.get("count", 0),
        "refused_p99_ms": refused.get("p99_ms"),
        "other_failures": {name: count for name, count in phase["failures"].items() if not name.endswith(": 503")},
        "late_ms": phase["late_ms"],
    }


def recovery_seconds(windows: list[dict[str, float]], normal_ms: float | None, afterwards: float) -> float:
    """Seconds after the overload until two seconds in a row are normal; all of them, if that never comes.

    Two, because one may be lucky; and not all that follow, because at this load some are unlucky at any time.
    """
    normal = {
        int(each["second"]) for each in windows if normal_ms is not None and each["p50_ms"] <= NORMAL_FACTOR * normal_ms
    }
    return float(next((second for second in sorted(normal) if second + 1 in normal), afterwards))
