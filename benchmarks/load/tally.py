"""What a generator saw: latencies by kind of request and status."""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks.harness.figures import percentile
from benchmarks.load.connection import NAMES
from benchmarks.load.plan import Call

_CODE = re.compile(rb'"code": ?"(\w+)"')


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


class Tally:
    """Counts answers.

    Args:
        calls: what is sent.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._expected = {call.name: call.expect for call in calls}
        self._seen: dict[tuple[str, int], _Answers] = defaultdict(_Answers)
        self._codes: Counter[str] = Counter()

    def note(self, name: str, status: int, at: float, took: float, answer: bytes = b"") -> None:
        """One answer, or the lack of one; `at` is when the request was due, in seconds since the beginning."""
        if status != self._expected[name] and (code := _CODE.search(answer)):
            self._codes[code[1].decode()] += 1
        answers = self._seen[name, status]
        answers.at.append(at)
        answers.took.append(took)

    def summary(self, seconds: float) -> dict[str, Any]:
        """What it comes to over so many seconds: counts, failures by kind, and latencies in milliseconds.

        `per_second` counts the right answers that came in time; `windows` has them by the second they were due in.
        """
        right = {name: seen for (name, status), seen in self._seen.items() if status == self._expected[name]}
        wrong = {key: seen for key, seen in self._seen.items() if key[1] != self._expected[key[0]]}
        windows: dict[int, list[float]] = defaultdict(list)
        for seen in right.values():
            for at, took in zip(seen.at, seen.took, strict=True):
                windows[int(at)].append(took)
        return {
            "seconds": seconds,
            "requests": sum(len(seen.at) for seen in self._seen.values()),
            "right": sum(len(seen.at) for seen in right.values()),
            "per_second": sum(seen.ended_by(seconds) for seen in right.values()) / seconds,
            "failures": {f"{name}: {NAMES.get(code, code)}": len(seen.at) for (name, code), seen in wrong.items()},
            "codes": dict(self._codes),
            "calls": {name: latencies(seen.took) for name, seen in right.items()},
            "wrong": {str(NAMES.get(code, code)): latencies(seen.took) for (_, code), seen in wrong.items()},
            "windows": [{"second": second, **latencies(took)} for second, took in sorted(windows.items())],
        }


def latencies(took: Sequence[float]) -> dict[str, float]:
    """Count, and milliseconds at the percentiles that are reported."""
    ordered = sorted(took)
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    return {"count": len(took), **{name: percentile(ordered, share) * 1000 for name, share in shares.items()}}
