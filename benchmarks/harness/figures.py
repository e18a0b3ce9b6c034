"""The arithmetic of the figures, and how they are written: percentiles by rank, medians of rounds with their spread."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Spread = dict[str, float]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that at least this share of all does not exceed.

    Args:
        ordered: ascending, not empty.
        share: above 0, up to 1.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Median, lowest and highest of what there is, to four digits behind the point; None of nothing."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    found = {"median": statistics.median(present), "low": min(present), "high": max(present)}
    return {name: round(value, 4) for name, value in found.items()}


def spreads(rounds: Sequence[dict[str, Any]], *names: str) -> dict[str, Spread | None]:
    """The spread over the rounds of each figure that is named."""
    return {name: spread([each.get(name) for each in rounds]) for name in names}


def series(rounds: Mapping[str, Sequence[dict[str, Any]]], name: str) -> dict[str, list[float]]:
    """One figure of each subject, round by round."""
    return {subject: [each[name] for each in found] for subject, found in rounds.items()}


def differences(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, as with `ratios`."""
    return [one - other for one, other in zip(ours, theirs, strict=True)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, so that what disturbed one round disturbs both sides of its ratio."""
    return [one / other if other else math.inf for one, other in zip(ours, theirs, strict=True)]


def quotient(one: float | None, other: float | None) -> float | None:
    """None where one of them was not measured, or the other is 0."""
    return one / other if one and other else None


def total(failures: Iterable[dict[str, int]]) -> dict[str, int]:
    """Counts by name, added."""
    found: dict[str, int] = {}
    for each in failures:
        for name, count in each.items():
            found[name] = found.get(name, 0) + count
    return found


def shown(value: Any, unit: str = "", digits: int | None = None) -> str:
    """A figure for a page: a number, a spread (`median (low to high)`), or nothing for None.

    Args:
        value: the figure.
        unit: with its blank.
        digits: behind the point; as many as it is worth, if nothing is said.
    """
    if value is None:
        return ""
    if isinstance(value, dict):
        middle, low, high = (shown(value[name], digits=digits) for name in ("median", "low", "high"))
        return f"{middle}{unit} ({low} to {high})"
    if digits is None:
        digits = 0 if isinstance(value, int) or abs(value) >= 100 else 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f}{unit}"


def failed(failures: dict[str, int]) -> str:
    """A sentence."""
    if not failures:
        return "No request failed."
    return "Requests failed: " + ", ".join(f"{name} {count:,}" for name, count in sorted(failures.items())) + "."


def parts_table(heads: str, parts: Iterable[dict[str, Any]]) -> str:
    """A table of parts with `name`, `us`, `limit_us` and what the `limit` is."""
    return table(heads, [[each["name"], each["us"], each["limit_us"], each["limit"]] for each in parts], words=(0, 3))


def table(heads: str, rows: Iterable[Sequence[Any]], words: Sequence[int] = (0,)) -> str:
    """A table of Markdown and an empty line.

    Args:
        heads: with ` | ` between them.
        rows: of texts, numbers and spreads.
        words: which columns stand to the left.
    """
    names = heads.split(" | ")
    aligned = ["---" if number in words else "---:" for number in range(len(names))]
    texts = [[cell if isinstance(cell, str) else shown(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in [names, aligned, *texts]) + "\n"
