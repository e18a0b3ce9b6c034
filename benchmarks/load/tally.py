"""What a generator saw: latencies by kind of request and status."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks.harness.figures import percentile
from benchmarks.load.connection import NAMES
from benchmarks.load.plan import Call


class Tally:
    """Counts answers.

    Args:
        calls: what is sent.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._expected = {call.name: call.expect for call in calls}
        self._seen: dict[tuple[str, int], _Answers] = defaultdict(_Answers)
        self._codes: Counter[str] = Counter()

    def note(self, name: str, status: int, at: float, took: float, code: str = "") -> None:
        """One answer, or the lack of one; `at` is when the request was due, in seconds since the beginning."""
        if code and status != self._expected[name]:
            self._codes[code] += 1
        answers = self._seen[name, status]
        answers.at.append(at)
        answers.took.append(took)

    def summary(self, seconds: float) -> dict[str, Any]:
        """What it comes to over so many seconds: counts, failures by kind, and latencies in milliseconds."""
        failures = {
            f"{name}: {NAMES.get(status, status)}": len(seen.at)
            for (name, status), seen in sorted(self._seen.items())
            if status != self._expected[name]
        }
        right = {name: seen for (name, status), seen in self._seen.items() if status == self._expected[name]}
        in_time = sum(seen.ended_by(seconds) for seen in right.values())
        return {
            "seconds": seconds,
            "requests": sum(len(seen.at) for seen in self._seen.values()),
            "right": sum(len(seen.at) for seen in right.values()),
            "a_second": in_time / seconds,
            "failures": failures,
            "codes": dict(self._codes),
            "calls": {name: latencies(seen.took) for name, seen in right.items()},
            "wrong": {
                str(NAMES.get(status, status)): latencies(seen.took)
                for (name, status), seen in self._seen.items()
                if status != self._expected[name]
            },
        }

    def windows(self, seconds: float) -> list[dict[str, float]]:
        """Right answers by the second in which they were due."""
        found: dict[int, list[float]] = {number: [] for number in range(int(seconds))}
        for (name, status), seen in self._seen.items():
            if status == self._expected[name]:
                for at, took in zip(seen.at, seen.took, strict=True):
                    found.setdefault(int(at), []).append(took)
        return [{"second": second, **latencies(took)} for second, took in sorted(found.items()) if took]


class _Answers:
    """Of one kind and status; arrays, because there may be millions.

    Attributes:
        at: when each request was due, in seconds since the beginning.
        took: seconds from then to its end.
    """

    __slots__ = ("at", "took")

    def __init__(self) -> None:
        self.at, self.took = array("d"), array("d")

    def ended_by(self, seconds: float) -> int:
        return sum(1 for at, took in zip(self.at, self.took, strict=True) if at + took <= seconds)


def latencies(took: Sequence[float]) -> dict[str, float]:
    """Count, and milliseconds at the percentiles that are reported."""
    ordered = sorted(took)
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    return {"count": len(took), **{name: percentile(ordered, share) * 1000 for name, share in shares.items()}}
