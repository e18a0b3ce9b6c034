"""More than there is room for: the 20 ms model, open loop, from a fifth of its capacity to ten times it, and back."""

from dataclasses import replace
from typing import Any

from benchmarks.harness import plots
from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.figures import quotient, spreads, table, total
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target
from benchmarks.load.generators import open_loop
from benchmarks.load.plan import Phase, Plan

LOADS = (0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0)
NORMAL, STRAINED, HEAVIEST = 0.5, 0.8, 10.0
# The pool of the client; the platform itself holds thousands.
CONNECTIONS = 2_000
RECOVERY_SECONDS = 10.0
# A second is normal again when its median is at most this many times the one at the same load before.
NORMAL_FACTOR = 1.5
CLOSED_CONNECTIONS = 8
AT = ("goodput", "p50_ms", "p99_ms", "refused", "refused_p99_ms")


def run(bench: Bench) -> Figures:
    """Figures by load over the rounds, and how the platform comes back afterwards."""
    site, options = bench.site, bench.options
    loads = (NORMAL, STRAINED, HEAVIEST) if options.quick else LOADS
    phase_seconds = options.seconds if options.quick else max(6.0, options.seconds)
    rounds = []
    with site.api(SERVER) as server:
        closed = Plan(server.port, site.key, [site.models["slow"].call()], CLOSED_CONNECTIONS, options.seconds)
        for number in range(options.rounds):
            bench.begins("capacity")
            capacity = bench.warmed(closed)["per_second"]
            bench.begins(f"0.2 to 10 times {capacity:.0f} per second")
            plan = replace(closed, connections=CONNECTIONS, seed=number)
            rounds.append(_round(plan, capacity, loads, phase_seconds, 1.0 if options.quick else RECOVERY_SECONDS))
    return {
        "placement": placement(SERVER),
        "phase_seconds": phase_seconds,
        **spreads(rounds, "capacity", "peak", "goodput_of_peak", "slower"),
        "late_ms": round(max(at["late_ms"] for each in rounds for at in each["at"].values()), 1),
        "at": {str(load): spreads([each["at"][load] for each in rounds], *AT) for load in loads},
        "other_failures": {str(load): sum(each["at"][load]["other_failures"] for each in rounds) for load in loads},
        "failures_afterwards": total(each["failures_afterwards"] for each in rounds),
        "recovery_seconds": [each["recovery_seconds"] for each in rounds],
    }


def _round(plan: Plan, capacity: float, loads: tuple[float, ...], seconds: float, afterwards: float) -> Figures:
    # What the heaviest load has left behind meets the first requests afterwards.
    phases = [Phase(load * capacity, seconds, drains=load != HEAVIEST) for load in loads]
    phases.append(Phase(NORMAL * capacity, afterwards))
    seen = open_loop(replace(plan, phases=phases), first=True).seen()["phases"]
    at = {load: _at(phase) for load, phase in zip(loads, seen, strict=False)}
    peak = peak_of({"capacity": capacity, "at": at})
    return {
        "capacity": capacity,
        "at": at,
        "peak": peak,
        "goodput_of_peak": at[HEAVIEST]["goodput"] / peak,
        "slower": quotient(at[HEAVIEST]["p99_ms"], at[STRAINED]["p99_ms"]),
        "recovery_seconds": recovery_seconds(seen[-1]["windows"], at[NORMAL]["p50_ms"], afterwards),
        "failures_afterwards": _others(seen[-1]),
    }


def _at(phase: Figures) -> Figures:
    accepted = phase["calls"].get("slow", {})
    refused = phase["wrong"].get("503", {})
    return {
        "goodput": phase["per_second"],
        "p50_ms": accepted.get("p50_ms"),
        "p99_ms": accepted.get("p99_ms"),
        "refused": refused.get("count", 0),
        "refused_p99_ms": refused.get("p99_ms"),
        "other_failures": sum(_others(phase).values()),
        "late_ms": phase["late_ms"],
    }


def _others(phase: Figures) -> dict[str, int]:
    return {name: count for name, count in phase["failures"].items() if not name.endswith(": 503")}


def recovery_seconds(windows: list[dict[str, float]], normal_ms: float | None, afterwards: float) -> float:
    """Seconds after the overload until two seconds in a row are normal; all of them, if that never comes.

    Two, because one may be lucky; and not all that follow, because at this load some are unlucky at any time.
    """
    normal = {
        int(each["second"]) for each in windows if normal_ms is not None and each["p50_ms"] <= NORMAL_FACTOR * normal_ms
    }
    return float(next((second for second in sorted(normal) if second + 1 in normal), afterwards))


def peak_of(overloaded: Figures) -> float:
    """The best goodput of a round, at whatever load, the closed loop's before it included."""
    return float(max(overloaded["capacity"], *(each["goodput"] for each in overloaded["at"].values())))


def write(figures: Figures) -> dict[str, Any]:
    """Figures by load, and the recovery."""
    rows = [
        (f"{float(load):g}", at["goodput"], at["p50_ms"], at["p99_ms"], f"{at['refused']['median']:,.0f}",
         at["refused_p99_ms"], figures["other_failures"][load])
        for load, at in figures["at"].items()
    ]  # fmt: skip
    heads = "Load | answered/s | p50 ms | p99 ms | refused (503) | refused p99 ms | other failures"
    recovery = ", ".join(f"{each:g}" for each in figures["recovery_seconds"])
    return {"table": table(heads, rows, words=()), "recovery": recovery}


TARGETS = (
    Target("The 20 ms model at 10 times its capacity: goodput beside the peak", "at least 0.9",
           lambda it: it["goodput_of_peak"], at_least=0.9),
    Target("p99 of what is accepted, beside p99 at 0.8 load", "at most 2 times", lambda it: it["slower"], at_most=2),
    Target("Refusals (503), p99", "under 20 ms", lambda it: it["at"][str(HEAVIEST)]["refused_p99_ms"], at_most=20,
           unit=" ms"),
    Target("Failures other than 503, at any load", "none",
           lambda it: sum(it["other_failures"].values()) + sum(it["failures_afterwards"].values()), at_most=0),
    Target("Normal again after it, at the slowest", "within 5 s", lambda it: max(it["recovery_seconds"]), at_most=5,
           unit=" s"),
)  # fmt: skip


def draw(figures: Figures) -> plots.Drawing:
    """Goodput and latency over offered load."""
    loads = [float(load) for load in figures["at"]]
    capacity = figures["capacity"]["median"]

    def over(name: str) -> list[float]:
        """A median for each load; NaN leaves a gap where there was nothing."""
        return [at[name]["median"] if at[name] else float("nan") for at in figures["at"].values()]

    figure, (left, right) = plots.drawing(9, 3.6, columns=2)
    left.plot(loads, [load * capacity for load in loads], color=plots.THEIRS, ls="--", label="offered")
    left.plot(loads, over("goodput"), color=plots.OURS, marker="o", label="answered with 200")
    left.set(xlabel="offered load, in capacities", ylabel="requests per second", ylim=(0, 2.2 * capacity), xscale="log")
    right.plot(loads, over("p99_ms"), color=plots.OURS, marker="o", label="p99 of accepted")
    right.plot(loads, over("p50_ms"), color=plots.OURS, marker="o", ls=":", label="p50 of accepted")
    right.plot(loads, over("refused_p99_ms"), color=plots.THIRD, marker="s", label="p99 of refusals (503)")
    right.set(xlabel="offered load, in capacities", ylabel="milliseconds since due", xscale="log", yscale="log")
    for axes in (left, right):
        axes.set_xticks(loads, [f"{load:g}" for load in loads], fontsize=8)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)
    return figure


SCENARIO = Scenario(
    "overload", "Overload", run, write, "synchronous", models=("iris", "slow"), targets=TARGETS, draw=draw
)
