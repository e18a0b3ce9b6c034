"""What a generator saw: latencies by kind of request and status."""

from collections import Counter, defaultdict
from typing import Any

from benchmarks.bench.figures import percentile
from benchmarks.bench.load.connection import NAMES
from benchmarks.bench.load.plan import Call


class Tally:
    """Counts answers.

    Args:
        calls: what is sent.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._expected = {call.name: call.expect for call in calls}
        # (kind, status) to (seconds since the beginning, seconds that it took).
        self._seen: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        self._codes: Counter[str] = Counter()

    def note(self, name: str, status: int, at: float, took: float, code: str = "") -> None:
        """One answer, or the lack of one; `at` is when the request was due, in seconds since the beginning."""
        if code and status != self._expected[name]:
            self._codes[code] += 1
        self._seen[name, status].append((at, took))

    def summary(self, seconds: float) -> dict[str, Any]:
        """What it comes to over so many seconds: counts, failures by kind, and latencies in milliseconds."""
        failures = {
            f"{name}: {NAMES.get(status, status)}": len(seen)
            for (name, status), seen in sorted(self._seen.items())
            if status != self._expected[name]
        }
        right = {name: self._seen[name, expected] for name, expected in self._expected.items()}
        in_time = sum(1 for seen in right.values() for at, took in seen if at + took <= seconds)
        return {
            "seconds": seconds,
            "requests": sum(map(len, self._seen.values())),
            "right": sum(map(len, right.values())),
            "a_second": in_time / seconds,
            "failures": failures,
            "codes": dict(self._codes),
            "calls": {name: latencies([took for _, took in seen]) for name, seen in right.items() if seen},
            "wrong": {
                str(NAMES.get(status, status)): latencies([took for _, took in seen])
                for (name, status), seen in self._seen.items()
                if seen and status != self._expected[name]
            },
        }

    def windows(self, seconds: float) -> list[dict[str, float]]:
        """Right answers by the second in which they were due."""
        found: dict[int, list[float]] = {number: [] for number in range(int(seconds))}
        for (name, status), seen in self._seen.items():
            if status == self._expected[name]:
                for at, took in seen:
                    found.setdefault(int(at), []).append(took)
        return [{"second": second, **latencies(took)} for second, took in sorted(found.items()) if took]


def latencies(took: list[float]) -> dict[str, float]:
    """Count, and milliseconds at the percentiles that are reported."""
    ordered = sorted(took)
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    return {"count": len(took), **{name: percentile(ordered, share) * 1000 for name, share in shares.items()}}
