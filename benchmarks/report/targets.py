"""What the platform has set itself, beside what was measured."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.figures import ratios
from benchmarks.scenarios.overload import HEAVIEST, STRAINED

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the summary.

    Attributes:
        what: is asked.
        target: in words.
        measured: in words; empty if it was not.
        kept: None if it was not measured.
    """

    what: str
    target: str
    measured: str = ""
    kept: bool | None = None

    def row(self) -> str:
        """Its line of the table."""
        kept = "not measured" if self.kept is None else "yes" if self.kept else "**no**"
        return f"| {self.what} | {self.target} | {self.measured} | {kept} |"


def verdicts(figures: dict[str, Figures]) -> list[Verdict]:
    """All targets; `figures` are those of the scenarios that were measured, by name."""
    asked: list[tuple[str, list[tuple[str, str]], Callable[[Figures], list[tuple[str, bool]]]]] = [
        ("throughput", _THROUGHPUT, _throughput),
        ("slow_neighbour", _NEIGHBOUR, _neighbour),
        ("overload", _OVERLOAD, _overload),
        ("memory", _MEMORY, _memory),
        ("restart", _RESTART, _restart),
    ]
    found = []
    for scenario, lines, judge in asked:
        if scenario not in figures:
            found += [Verdict(what, target) for what, target in lines]
            continue
        judged = judge(figures[scenario])
        found += [Verdict(*line, measured, kept) for line, (measured, kept) in zip(lines, judged, strict=True)]
    return found


# Computed beside the event loop, where 16 callers at a time can be more than may wait.
MAY_REFUSE = {"platform, iris, 1,024 rows", "platform, slow"}
_THROUGHPUT = [
    ("Iris, one row, 16 connections, beside bare ASGI", "at least 0.45 (aim 0.7)"),
    ("The same beside the naive design", "at least 6 times"),
    ("Iris, 64 connections, p99 beside p50", "at most 3 times"),
    ("Forest of 100 trees, one row, beside the naive design", "at least 50 times"),
    ("Iris, 64 rows a request, rows a second beside the naive design", "at least 5 times"),
    ("Requests of this that failed, where the model is computed on the event loop", "none"),
]
_NEIGHBOUR = [
    ("Iris beside the 20 ms model at full load, p99 beside its p99 alone", "at most 3 times"),
    ("`GET /health/live` meanwhile, p99", "under 20 ms"),
]
_OVERLOAD = [
    ("The 20 ms model at 10 times its capacity: goodput beside the peak", "at least 0.9"),
    ("p99 of what is accepted, beside p99 at 0.8 load", "at most 2 times"),
    ("Refusals (503), p99", "under 20 ms"),
    ("Failures other than 503, at any load", "none"),
    ("Normal again after it", "within 5 s"),
]
_MEMORY = [("PSS under mixed load: peak of the second half above the first half's", "at most 2 MB")]
_RESTART = [("SIGTERM and restart of one of two processes under load, ten times: requests that failed", "none")]


def _throughput(figures: Figures) -> list[tuple[str, bool]]:
    bare, naive = _ratio(figures, "platform, iris", "bare ASGI"), _ratio(figures, "platform, iris", "naive, iris")
    forest = _ratio(figures, "platform, forest", "naive, forest")
    many = _ratio(figures, "platform, iris, 64 rows", "naive, iris, 64 rows")
    rounds = figures["subjects"]["platform, iris, 64 connections"]["rounds"]
    tail = [each["p99_ms"] / each["p50_ms"] for each in rounds if each["p50_ms"]]
    failed = sum(
        sum(each["failures"].values())
        for name, subject in figures["subjects"].items()
        for each in subject["rounds"]
        if name not in MAY_REFUSE
    )
    return [
        (_shown(bare), _median(bare) >= 0.45),
        (_shown(naive), _median(naive) >= 6),
        (_shown(tail), bool(tail) and _median(tail) <= 3),
        (_shown(forest), _median(forest) >= 50),
        (_shown(many), _median(many) >= 5),
        (f"{failed:,}", failed == 0),
    ]


def _neighbour(figures: Figures) -> list[tuple[str, bool]]:
    rounds = [each for each in figures["rounds"] if all(each[way][what] for way in ("alone", "beside")
                                                        for what in ("iris", "live"))]  # fmt: skip
    if not rounds:
        return [("no answer", False)] * 2
    slower = [each["beside"]["iris"]["p99_ms"] / each["alone"]["iris"]["p99_ms"] for each in rounds]
    live = [each["beside"]["live"]["p99_ms"] for each in rounds]
    return [(_shown(slower), _median(slower) <= 3), (_shown(live, " ms"), _median(live) < 20)]


def _overload(figures: Figures) -> list[tuple[str, bool]]:
    rounds = figures["rounds"]
    goodput = [each["at"][str(HEAVIEST)]["goodput"] / peak_of(each) for each in rounds]
    slower = [
        each["at"][str(HEAVIEST)]["p99_ms"] / each["at"][str(STRAINED)]["p99_ms"]
        for each in rounds
        if each["at"][str(HEAVIEST)]["p99_ms"] and each["at"][str(STRAINED)]["p99_ms"]
    ]
    refused = [each["at"][str(HEAVIEST)]["refused_p99_ms"] for each in rounds]
    refused = [each for each in refused if each is not None]
    others = sum(sum(at["other_failures"].values()) for each in rounds for at in each["at"].values())
    others += sum(
        count for each in rounds for name, count in each["failures_afterwards"].items() if not name.endswith(": 503")
    )
    recovery = [each["recovery_seconds"] for each in rounds]
    return [
        (_shown(goodput), _median(goodput) >= 0.9),
        (_shown(slower), bool(slower) and _median(slower) <= 2),
        (_shown(refused, " ms"), bool(refused) and _median(refused) < 20),
        (f"{others:,}", others == 0),
        (f"{max(recovery):g} s at the slowest", max(recovery) <= 5),
    ]


def peak_of(overloaded: dict[str, Any]) -> float:
    """The best goodput of a round, at whatever load, the closed loop's before it included."""
    return float(max(overloaded["capacity"], *(each["goodput"] for each in overloaded["at"].values())))


def halves(samples: list[float]) -> tuple[float, float]:
    """The peaks of the first and the second half."""
    middle = len(samples) // 2
    return max(samples[:middle]), max(samples[middle:])


def _memory(figures: Figures) -> list[tuple[str, bool]]:
    first, second = halves(figures["pss_mb"])
    return [(f"{second - first:+.1f} MB", second - first <= 2)]


def _restart(figures: Figures) -> list[tuple[str, bool]]:
    seen = figures["seen"]
    if seen is None:
        return [("this platform has one API process", False)]
    failed = sum(seen["failures"].values())
    return [(f"{failed:,} of {seen['requests']:,} in {figures['restarts']} restarts", failed == 0)]


def _ratio(figures: Figures, ours: str, theirs: str) -> list[float]:
    ours_rounds, their_rounds = ([each["a_second"] for each in figures["subjects"][name]["rounds"]]
                                 for name in (ours, theirs))  # fmt: skip
    return ratios(ours_rounds, their_rounds)


def _median(values: list[float]) -> float:
    return float(statistics.median(values))


def _shown(values: list[float], unit: str = "") -> str:
    if not values:
        return "nothing to measure"
    return f"{_digits(_median(values))}{unit} ({_digits(min(values))} to {_digits(max(values))})"


def _digits(value: float) -> str:
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
