"""What a generator saw: latencies by kind of request and status."""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any

from benchmarks.harness.figures import percentile
from benchmarks.load.connection import NAMES
from benchmarks.load.plan import Call

_CODE = re.compile(rb'"code": ?"(\w+)"')


class Tally:
    """Counts answers.

    Args:
        calls: what is sent.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._expected = {call.name: call.expect for call in calls}
        # By kind and status: when each was due, and what it took. Arrays, because there may be millions.
        self._seen: dict[tuple[str, int], tuple[array[float], array[float]]] = {}
        self._codes: Counter[str] = Counter()

    def note(self, name: str, status: int, at: float, took: float, answer: bytes = b"") -> None:
        """One answer, or the lack of one; `at` is when the request was due, in seconds since the beginning."""
        if status != self._expected[name] and (code := _CODE.search(answer)):
            self._codes[code[1].decode()] += 1
        due, seconds = self._seen.setdefault((name, status), (array("d"), array("d")))
        due.append(at)
        seconds.append(took)

    def summary(self, seconds: float) -> dict[str, Any]:
        """What it comes to over so many seconds: counts, failures by kind, and latencies in milliseconds.

        `per_second` counts the right answers that came in time; `windows` has them by the second they were due in.
        """
        right = {name: seen for (name, status), seen in self._seen.items() if status == self._expected[name]}
        wrong = {key: took for key, (_, took) in self._seen.items() if key[1] != self._expected[key[0]]}
        windows: dict[int, list[float]] = defaultdict(list)
        in_time = 0
        for at, took in chain.from_iterable(zip(*seen, strict=True) for seen in right.values()):
            windows[int(at)].append(took)
            in_time += at + took <= seconds
        return {
            "seconds": seconds,
            "requests": sum(len(took) for _, took in self._seen.values()),
            "right": sum(len(took) for _, took in right.values()),
            "per_second": in_time / seconds,
            "failures": {f"{name}: {NAMES.get(code, code)}": len(took) for (name, code), took in wrong.items()},
            "codes": dict(self._codes),
            "calls": {name: latencies(took) for name, (_, took) in right.items()},
            "wrong": {str(NAMES.get(code, code)): latencies(took) for (_, code), took in wrong.items()},
            "windows": [{"second": second, **latencies(took)} for second, took in sorted(windows.items())],
        }


def latencies(took: Sequence[float]) -> dict[str, float]:
    """Count, and milliseconds at the percentiles that are reported."""
    ordered = sorted(took)
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    return {"count": len(took), **{name: percentile(ordered, share) * 1000 for name, share in shares.items()}}
