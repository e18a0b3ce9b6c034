"""What every runtime does: rows in, aligned outputs out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Value = float | int | str | bool | None
Rows = Sequence[Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Aligned columns: entry i of each belongs to row i.

    Attributes:
        predictions: what the library's own `predict` returns, as JSON values.
        class_numbers: for a classifier, the predicted class's place in the signature's classes.
        probabilities: for a classifier that has them, one row of probabilities in the order of the classes.
    """

    predictions: list[Value]
    class_numbers: list[int] | None = None
    probabilities: list[list[float]] | None = None

    def __len__(self) -> int:
        return len(self.predictions)

    def slice(self, start: int, stop: int) -> "Outputs":
        """The outputs of rows `start` to `stop` (exclusive)."""
        return Outputs(
            self.predictions[start:stop],
            None if self.class_numbers is None else self.class_numbers[start:stop],
            None if self.probabilities is None else self.probabilities[start:stop],
        )


class LoadedModel(Protocol):
    """A model in memory. Thread-safe; the same rows give the same outputs."""

    def predict(self, rows: Rows) -> Outputs:
        """Predict.

        Args:
            rows: shape (n, features), n >= 1, values in the order of the signature's inputs; None where missing.

        Raises:
            Exception: whatever the library raises; callers turn it into `ModelFailed`.
        """
        ...


class Runtime(Protocol):
    """Loads one format. Every implementation passes `tests/conformance/test_runtimes.py`."""

    def load(self, artifact: bytes) -> LoadedModel:
        """Make a model of an artifact's bytes, which the one loader has verified.

        Raises:
            Exception: the bytes are not of this format, or need another library version.
        """
        ...
