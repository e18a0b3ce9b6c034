"""Outputs that are not finite: JSON has no NaN and no infinities, so an answer has null and says what stood there."""

import math
from collections.abc import Iterator
from typing import Any

from ai_platform.runtimes.base.runtime import Outputs

# Values that one answer lists; it counts them all.
MOST_LISTED = 100


def non_finite(outputs: Outputs, *, single: bool) -> Iterator[tuple[str, str]]:
    """Where an answer has null in place of a number that is not finite, in the answer's order.

    Args:
        outputs: n aligned outputs.
        single: whether the answer is of one instance (`prediction`), and not of many (`predictions`).

    Yields:
        JSON pointer into the answer (RFC 6901), and `NaN`, `Infinity` or `-Infinity`.
    """
    if single:
        yield from _within("/prediction", outputs.predictions[0])
        yield from _within("/probabilities", None if outputs.probabilities is None else outputs.probabilities[0])
    else:
        yield from _within("/predictions", outputs.predictions)
        yield from _within("/probabilities", outputs.probabilities)


def _within(pointer: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, float):
        if not math.isfinite(value):
            yield pointer, "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _within(f"{pointer}/{place}", inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _within(f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}", inner)
