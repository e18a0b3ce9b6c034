"""More than there is room for: the 20 ms model, open loop, from a fifth of its capacity to ten times it, and back."""

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.figures import shown, spread, spreads, table, total
from benchmarks.harness.scenario import Bench, Figures, Scenario, Verdict
from benchmarks.load.generators import measured, open_loop
from benchmarks.load.plan import Call, Phase, Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    slow = site.models["slow"]
    loads = (NORMAL, STRAINED, HEAVIEST) if options.quick else LOADS
    phase_seconds = options.seconds if options.quick else max(6.0, options.seconds)
    rounds = []
    with site.api(SERVER) as server:
        call = Call("slow", slow.path, slow.body(1))
        closed = Plan(server.port, site.key, [call], CLOSED_CONNECTIONS, options.seconds)
        for number in range(options.rounds):
            bench.begins("capacity")
            if not options.quick:
                measured(closed)
            capacity = measured(closed)["per_second"]
            bench.begins(f"0.2 to 10 times {capacity:.0f} per second")
            plan = replace(closed, connections=CONNECTIONS, seed=number)
            rounds.append(_round(plan, capacity, loads, phase_seconds, 1.0 if options.quick else RECOVERY_SECONDS))
    heaviest = [each["at"][HEAVIEST] for each in rounds]
    slower = [
        each["at"][HEAVIEST]["p99_ms"] / each["at"][STRAINED]["p99_ms"]
        for each in rounds
        if each["at"][HEAVIEST]["p99_ms"] and each["at"][STRAINED]["p99_ms"]
    ]
    peaks = [peak_of(each) for each in rounds]
    return {
        "placement": placement(SERVER),
        "phase_seconds": phase_seconds,
        **spreads([{**each, "peak": peak} for each, peak in zip(rounds, peaks, strict=True)], "capacity", "peak"),
        "late_ms": round(max(at["late_ms"] for each in rounds for at in each["at"].values()), 1),
        "at": {str(load): spreads([each["at"][load] for each in rounds], *AT) for load in loads},
        "other_failures": {
            str(load): sum(sum(each["at"][load]["other_failures"].values()) for each in rounds) for load in loads
        },
        "failures_afterwards": total(each["failures_afterwards"] for each in rounds),
        "goodput_of_peak": spread([at["goodput"] / peak for at, peak in zip(heaviest, peaks, strict=True)]),
        "slower": spread(slower),
        "recovery_seconds": [each["recovery_seconds"] for each in rounds],
    }


def _round(plan: Plan, capacity: float, loads: tuple[float, ...], seconds: float, afterwards: float) -> Figures:
    # What the heaviest load has left behind meets the first requests afterwards.
    phases = [Phase(load * capacity, seconds, drains=load != HEAVIEST) for load in loads]
    phases.append(Phase(NORMAL * capacity, afterwards))
    seen = open_loop(replace(plan, phases=phases), first=True).seen()["phases"]
    at = {load: _at(phase) for load, phase in zip(loads, seen, strict=False)}
    return {
        "capacity": capacity,
        "at": at,
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
        "other_failures": _others(phase),
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


def write(figures: Figures) -> str:
    """Figures by load, and the recovery."""
    rows = [
        (f"{float(load):g}", at["goodput"], at["p50_ms"], at["p99_ms"], f"{at['refused']['median']:,.0f}",
         at["refused_p99_ms"], figures["other_failures"][load])
        for load, at in figures["at"].items()
    ]  # fmt: skip
    recovery = ", ".join(f"{each:g}" for each in figures["recovery_seconds"])
    return (
        f"The 20 ms model alone, in an open loop: Poisson arrivals, {figures['phase_seconds']:g} s at each load, and a "
        f"latency that counts from when the request was due. Load 1 is what a closed loop of {CLOSED_CONNECTIONS} "
        f"connections got just before ({figures['capacity']['median']:.0f} per second); the best goodput at any load "
        f"was {figures['peak']['median']:.0f}. No two requests are equal, so none is answered from the cache. "
        f"{figures['placement']}. The generator comes first on its core, and was late by {figures['late_ms']:.1f} ms "
        "at worst. Medians (lowest to highest) of the rounds.\n\n"
        + table("Load | answered/s | p50 ms | p99 ms | refused (503) | refused p99 ms | other failures", rows, words=())
        + f"After the heaviest load, at {NORMAL} again: seconds until two seconds in a row had a median of at most "
        f"{NORMAL_FACTOR} times what it was before, round by round: {recovery}.\n\n"
    )


def judge(figures: Figures) -> list[Verdict]:
    """What an overloaded platform should still do."""
    goodput, slower = figures["goodput_of_peak"], figures["slower"]
    refused = figures["at"][str(HEAVIEST)]["refused_p99_ms"]
    others = sum(figures["other_failures"].values()) + sum(figures["failures_afterwards"].values())
    slowest = max(figures["recovery_seconds"])
    return [
        Verdict("The 20 ms model at 10 times its capacity: goodput beside the peak", "at least 0.9", shown(goodput),
                goodput["median"] >= 0.9),
        Verdict("p99 of what is accepted, beside p99 at 0.8 load", "at most 2 times",
                shown(slower) or "nothing to measure", bool(slower and slower["median"] <= 2)),
        Verdict("Refusals (503), p99", "under 20 ms", shown(refused, " ms") or "nothing to measure",
                bool(refused and refused["median"] < 20)),
        Verdict("Failures other than 503, at any load", "none", f"{others:,}", others == 0),
        Verdict("Normal again after it", "within 5 s", f"{slowest:g} s at the slowest", slowest <= 5),
    ]  # fmt: skip


def draw(figures: Figures) -> "Figure":
    """Goodput and latency over offered load."""
    from benchmarks.harness.plots import OURS, THEIRS, THIRD, drawing

    loads = [float(load) for load in figures["at"]]
    capacity = figures["capacity"]["median"]

    def over(name: str) -> list[float]:
        """A median for each load; NaN leaves a gap where there was nothing."""
        return [at[name]["median"] if at[name] else float("nan") for at in figures["at"].values()]

    figure, (left, right) = drawing(9, 3.6, columns=2)
    left.plot(loads, [load * capacity for load in loads], color=THEIRS, ls="--", label="offered")
    left.plot(loads, over("goodput"), color=OURS, marker="o", label="answered with 200")
    left.set(xlabel="offered load, in capacities", ylabel="requests per second", ylim=(0, 2.2 * capacity), xscale="log")
    right.plot(loads, over("p99_ms"), color=OURS, marker="o", label="p99 of accepted")
    right.plot(loads, over("p50_ms"), color=OURS, marker="o", ls=":", label="p50 of accepted")
    right.plot(loads, over("refused_p99_ms"), color=THIRD, marker="s", label="p99 of refusals (503)")
    right.set(xlabel="offered load, in capacities", ylabel="milliseconds since due", xscale="log", yscale="log")
    for axes in (left, right):
        axes.set_xticks(loads, [f"{load:g}" for load in loads], fontsize=8)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)
    return figure


SCENARIO = Scenario("overload", "Overload", run, write, "synchronous", models=("iris", "slow"), judge=judge, draw=draw)
