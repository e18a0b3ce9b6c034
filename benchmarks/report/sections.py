"""A section of the page for each scenario."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.harness.figures import ratios, spread
from benchmarks.report.targets import Figures, halves, peak_of


def throughput(figures: Figures) -> list[str]:
    """Requests a second on one core."""
    subjects = figures["subjects"]
    rows = [_subject(name, subject, subjects) for name, subject in subjects.items()]
    models = [f"- **{name}**: {each['what']}; serves {each['form']}." for name, each in figures["models"].items()]
    return [
        "## Throughput on one core",
        "",
        (
            f"{_sentence(figures['placement'])} One process each. Every subject gets the same headers, a key included; "
            "the platform checks it. The bare ASGI function reads the body and answers as many bytes as the platform; "
            "the FastAPI route does nothing and returns a raw response; the naive design is a FastAPI route with a "
            "Pydantic body that calls scikit-learn's `predict` and `predict_proba`. Shares are of bare ASGI with as "
            "many connections, medians of the rounds' own. Memory is PSS with all models of this page loaded. 1,024 "
            "rows and the 20 ms model are computed beside the event loop, where who would wait too long is refused "
            "with 503: that is what failed there."
        ),
        "",
        "![Requests a second](synchronous-throughput.svg)",
        "",
        "| Subject | conn. | requests/s | of bare ASGI | rows/s | p50 ms | p99 ms | µs CPU/request | PSS MB | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        *models,
        "",
    ]


def _subject(name: str, subject: Figures, subjects: Figures) -> str:
    rounds = subject["rounds"]
    rates = [each["a_second"] for each in rounds]
    bare = "bare ASGI" if subject["connections"] == 16 else f"bare ASGI, {subject['connections']} connections"
    share = statistics.median(ratios(rates, [each["a_second"] for each in subjects[bare]["rounds"]]))
    rate = spread(rates)
    by_name = {
        figure: statistics.median(each[figure] for each in rounds)
        for figure in ("p50_ms", "p99_ms", "cpu_us", "pss_mb")
    }
    failed = sum(sum(each["failures"].values()) for each in rounds)
    return (
        f"| {name} | {subject['connections']} | {rate['median']:,.0f} ({rate['low']:,.0f} to {rate['high']:,.0f}) | "
        f"{share:.2f} | {rate['median'] * subject['rows']:,.0f} | {by_name['p50_ms']:.2f} | {by_name['p99_ms']:.2f} | "
        f"{by_name['cpu_us']:,.0f} | {by_name['pss_mb']:.0f} | {failed} |"
    )


def slow_neighbour(figures: Figures) -> list[str]:
    """A slow model beside a fast one."""
    rows = []
    for way, what in (("alone", "alone"), ("beside", "beside the 20 ms model")):
        for kind, name in (("iris", "iris"), ("live", "`GET /health/live`")):
            seen = [each[way][kind] for each in figures["rounds"] if each[way][kind]]
            if seen:
                cells = (_of(seen, figure) for figure in ("p50_ms", "p90_ms", "p99_ms", "max_ms"))
                rows.append(f"| {name}, {what} | {' | '.join(cells)} |")
    neighbour = statistics.median(each["neighbour_a_second"] for each in figures["rounds"])
    failures = _failures([each[way] for each in figures["rounds"] for way in ("alone", "beside")])
    return [
        "## A slow neighbour",
        "",
        (
            f"Iris in an open loop at {figures['rate']:,.0f} requests a second both times (half of its peak, "
            f"{figures['peak']:,.0f}, or what the generator can send if that is less), health checks at 50 a second "
            f"among them. The neighbour is a closed loop of {figures['neighbours']} connections, which got "
            f"{neighbour:.0f} answers a second. A closed loop for iris would send less as soon as it is delayed, and "
            f"so hide the delay. {_sentence(figures['placement'])} Medians (lowest to highest) of the rounds, in "
            f"milliseconds. {failures}"
        ),
        "",
        "| What | p50 | p90 | p99 | longest |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
        "",
    ]


def overload(figures: Figures) -> list[str]:
    """More than there is room for."""
    rounds = figures["rounds"]
    rows = []
    for load in figures["loads"]:
        at = [each["at"][str(load)] for each in rounds]
        cells = [f"{load:g}", *(_of(at, name) for name in ("goodput", "p50_ms", "p99_ms", "refused", "refused_p99_ms"))]
        others = sum(sum(each["other_failures"].values()) for each in at)
        rows.append(f"| {' | '.join(cells)} | {others} |")
    capacity = statistics.median(each["capacity"] for each in rounds)
    peak = statistics.median(peak_of(each) for each in rounds)
    late = max(at["late_ms"] for each in rounds for at in each["at"].values())
    recovery = ", ".join(f"{each['recovery_seconds']:g}" for each in rounds)
    return [
        "## Overload",
        "",
        (
            f"The 20 ms model alone, in an open loop: Poisson arrivals, {figures['phase_seconds']:g} s at each load, "
            "and a latency that counts from when the request was due. Load 1 is what a closed loop of 8 connections "
            f"got just before ({capacity:.0f} a second); the best goodput at any load was {peak:.0f}. No two requests "
            f"are equal, so none is answered from the cache. {_sentence(figures['placement'])} The generator comes "
            f"first on its core, and was late by {late:.1f} ms at worst. Medians (lowest to highest) of the "
            "rounds."
        ),
        "",
        "![Overload](synchronous-overload.svg)",
        "",
        "| Load | answered/s | p50 ms | p99 ms | refused (503) | refused p99 ms | other failures |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        (
            "After the heaviest load, at 0.5 again: seconds until two seconds in a row had a median of at most 1.5 "
            f"times what it was before, round by round: {recovery}."
        ),
        "",
    ]


def memory(figures: Figures) -> list[str]:
    """Memory over minutes."""
    first, second = halves(figures["pss_mb"])
    seen = figures["seen"]
    kinds = ", ".join(f"{name} ({each['count']:,})" for name, each in seen["calls"].items())
    return [
        "## Memory under load",
        "",
        (
            f"{len(figures['pss_mb'])} looks at PSS (one process and its children), at {figures['rate']:,.0f} requests "
            f"a second, half of {figures['capacity']:,.0f}. {seen['requests']:,} requests: {kinds}. "
            f"{_failures([seen])} Peak of the first half {first:.1f} MB, of the second {second:.1f} MB. "
            f"{_sentence(figures['placement'])}"
        ),
        "",
        "![PSS over time](synchronous-memory.svg)",
        "",
    ]


def restart(figures: Figures) -> list[str]:
    """Restarts under load."""
    lines = ["## Restarts under load", ""]
    seen = figures["seen"]
    if seen is None:
        return [*lines, "Not measured: this platform has one API process.", ""]
    iris = seen["calls"]["iris"]
    took = ", ".join(f"{each:.1f}" for each in figures["seconds"])
    return [
        *lines,
        (
            f"{figures['processes']} API processes on one port, 16 kept connections that send iris without a pause and "
            f"never try again, SIGTERM to one process, {figures['restarts']} times. {seen['requests']:,} requests in "
            f"{seen['seconds']:.0f} s. {_failures([seen])} p50 {iris['p50_ms']:.2f} ms, p99 {iris['p99_ms']:.2f} ms, "
            f"longest {iris['max_ms']:.0f} ms. Seconds from each SIGTERM until another process had taken the place: "
            f"{took}. {_sentence(figures['placement'])}"
        ),
        "",
    ]


def pieces(figures: Figures) -> list[str]:
    """Part by part."""
    rows = [
        f"| {each['name']} | {_micros(each['us'])} | {_micros(each['limit_us'])} | {each['limit']} |"
        for each in figures["parts"]
    ]
    return [
        "## One prediction, part by part",
        "",
        (
            f"Iris, one row, in one process without a socket: processor time of the thread, medians of "
            f"{figures['repeats']} runs of 100 calls, in microseconds. The limit of a part is what the least "
            "takes that it cannot do without. Parts are measured one after another, each in a loop of its own, where "
            "it finds the processor's caches warm; in a request they do not, so that the whole is more than their sum. "
            "On top come "
            "the system's calls for reading from and writing to the socket, alike for both. What each part does, [the "
            "request path](../architecture/request-path.md) says."
        ),
        "",
        "| Part | µs | Limit, µs | What the limit is |",
        "| --- | ---: | ---: | --- |",
        *rows,
        "",
    ]


def _micros(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}"


def _of(rounds: list[Figures], name: str) -> str:
    values = [each[name] for each in rounds if each.get(name) is not None]
    if not values:
        return ""
    seen = spread(values)
    shown: Callable[[float], str] = lambda value: f"{value:,.2f}" if value < 100 else f"{value:,.0f}"  # noqa: E731
    if name == "refused":
        return f"{seen['median']:,.0f}"
    return f"{shown(seen['median'])} ({shown(seen['low'])} to {shown(seen['high'])})"


def _failures(seen: list[dict[str, Any]]) -> str:
    found: dict[str, int] = {}
    for each in seen:
        for name, count in each["failures"].items():
            found[name] = found.get(name, 0) + count
    if not found:
        return "No request failed."
    return "Requests failed: " + ", ".join(f"{name} {count:,}" for name, count in sorted(found.items())) + "."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
