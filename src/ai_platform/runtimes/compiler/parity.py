"""Whether two models answer alike: in labels where the first is sure, in probabilities and in numbers."""

from dataclasses import dataclass

import numpy as np

from ai_platform.runtimes.base.runtime import LoadedModel, Outputs, Rows

TOLERANCE = 1e-6
"""Largest difference of a probability, or of a number relative to itself or to 1; and the margin between the two most
probable classes below which a label may differ."""

MOST_FOUND = 7.5e-7
"""The largest difference that some thousands of probe rows may show, so that no other row passes the tolerance."""

# A tie of votes but for the rounding of their sum, which another order of summing decides otherwise.
ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two models are from each other on some rows.

    Attributes:
        largest: largest difference of a probability, or of a number relative to the larger of itself and 1.
        labels: rows with another label where the first model's margin is above the tolerance.
        rows: rows compared.
    """

    largest: float
    labels: int
    rows: int

    def __bool__(self) -> bool:
        return self.labels > 0 or not self.largest <= MOST_FOUND

    def __str__(self) -> str:
        labels = f"{self.labels} of {self.rows} labels differ, and " if self.labels else ""
        return f"{labels}the largest difference is {self.largest:.2g}"


def difference(first: LoadedModel, second: LoadedModel, rows: Rows) -> Difference:
    """Compare two models' answers to the same rows.

    Raises:
        Exception: whatever either raises.
    """
    return difference_of(first.predict(rows), second.predict(rows))


def difference_of(first: Outputs, second: Outputs, ties: int = 0, rounding: float = 0.0) -> Difference:
    """Compare answers to the same rows.

    Args:
        first: those of the model that is right.
        second: the other's.
        ties: of so many rows at the beginning the label counts also where two classes are equally probable: a leaf or a
            vote that is a tie is one for all rows that come there. Rows found by halving the way to a boundary are ties
            only by rounding.
        rounding: the margin up to which two classes are equally probable.
    """
    if first.class_numbers is None:
        ours, theirs = (np.asarray(one.predictions, np.float64) for one in (first, second))
        if ours.shape != theirs.shape:
            return Difference(float("inf"), 0, len(first))
        return Difference(float(np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(ours)))), 0, len(first))
    unlike = np.asarray(first.class_numbers) != np.asarray(second.class_numbers)
    if first.probabilities is None or second.probabilities is None:
        largest = 0.0 if first.probabilities is second.probabilities else float("inf")
        return Difference(largest, int(unlike.sum()), len(first))
    ours, theirs = np.asarray(first.probabilities), np.asarray(second.probabilities)
    found = margins(first)
    sure = (found > TOLERANCE) | ((found <= rounding) & (np.arange(len(first)) < ties))
    return Difference(float(np.max(np.abs(ours - theirs))), int((unlike & sure).sum()), len(first))


def margins(outputs: Outputs) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Difference of the two largest probabilities of each row, shape (n,); 1 where there is one class."""
    probabilities = np.sort(np.asarray(outputs.probabilities, np.float64), axis=1)
    if probabilities.shape[1] == 1:
        return np.ones(len(probabilities))
    return np.asarray(probabilities[:, -1] - probabilities[:, -2])
