"""The arithmetic of the figures: percentiles by rank, medians of rounds with their spread, ratios by round."""

import math
import statistics
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that at least this share of all does not exceed.

    Args:
        ordered: ascending, not empty.
        share: above 0, up to 1.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, so that what disturbed one round disturbs both sides of its ratio."""
    return [one / other if other else math.inf for one, other in zip(ours, theirs, strict=True)]
