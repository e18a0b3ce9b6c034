"""Trying a model as it will be asked: one row, two, many. Each row has one output, and alone it is the same."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.golden import NATIVE_TOLERANCE, agree
from ai_platform.models.validation.sample_rows import shown
from ai_platform.runtimes.base.non_finite import non_finite
from ai_platform.runtimes.base.runtime import LoadedModel, Outputs, Value, WrongOutputs
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.catalogue import FORMATS

MANY = 32
# Rows that are also predicted alone, and compared with what they gave together.
_ALONE = 8
# Of a slow model fewer rows are tried than the sample has.
_SECONDS = 2.0
# Sums of float32 depend on how many rows are computed together; so may those of a Python model.
_FLOAT32_TOLERANCE = 1e-5

Row = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial covered.

    Attributes:
        rows: rows that were predicted together.
        non_finite: those among them with an output that is NaN or infinite.
    """

    rows: int
    non_finite: int


@dataclass(frozen=True, slots=True)
class Trial:
    """How a model is tried.

    Attributes:
        loaded: the model.
        format: a key of `runtimes.catalogue.FORMATS`.
        signature: its inputs and classes.
        sampled: whether the rows come from the publisher, and are not made up.
    """

    loaded: LoadedModel
    format: str
    signature: Signature
    sampled: bool

    def run(self, rows: Sequence[Row]) -> Tried:
        """Try one row twice, two rows, and as many as there are (at least 32, fewer of a slow model).

        Args:
            rows: shape (n, features), n >= 1, all of which the model should predict.

        Raises:
            ArtifactRefused: a row cannot be predicted; several rows together cannot; their outputs are not one a row,
                or others than those of the rows alone; or they are nothing that an answer can hold.
        """
        first = self._alone(rows, 0)
        begun = time.perf_counter()
        again = self._alone(rows, 0)
        seconds = time.perf_counter() - begun
        if not self._agree(first, again):
            raise ArtifactRefused(
                "the model gave two different outputs for the same row; fix its random seed, so that an answer can be"
                " given again"
            )
        self._check_values(first)
        count = max(2, min(max(len(rows), MANY), int(_SECONDS / max(seconds, 1e-9))))
        many = [rows[place % len(rows)] for place in range(count)]
        together = self._together(many[:2], rows)
        if count > len(together):  # of a slow model no more are tried
            together = self._together(many, rows)
        self._check_values(together)
        for place in range(min(count, len(rows), _ALONE)):
            alone = first if place == 0 else self._alone(rows, place)
            if not self._agree(alone, together.slice(place, place + 1)):
                raise ArtifactRefused(
                    f"the model gives other outputs for rows together than for each row alone (row {place + 1} of"
                    f" {count} rows differs); each row must be computed by itself{self._advice}"
                )
        return Tried(count, sum(_is_non_finite(together.slice(place, place + 1)) for place in range(count)))

    def example(self, rows: Sequence[Row]) -> Sequence[Value]:
        """A row to show: the inputs' own examples where the model predicts them together, else a row that was tried."""
        row = shown(self.signature)
        try:
            return row if self.loaded.predict([row]).misfit(1) is None else rows[0]
        except Exception:  # noqa: BLE001  # a model raises what it likes
            return rows[0]

    @property
    def _advice(self) -> str:
        advice = FORMATS[self.format].format.advice_together
        return f"; {advice}" if advice else ""

    def _alone(self, rows: Sequence[Row], place: int) -> Outputs:
        try:
            outputs = self.loaded.predict([rows[place]])
            misfit = outputs.misfit(1)
        except Exception as error:
            raise ArtifactRefused(self._why(place, error)) from error
        if misfit is not None:
            raise ArtifactRefused(f"{misfit}; each row must give one output")
        return outputs

    def _why(self, place: int, error: Exception) -> str:
        if isinstance(error, WrongOutputs):
            return f"the model does not answer each row with one output: {error_text(error)}"
        if not self.sampled:
            return f"the model cannot predict: {error_text(error)}; give --sample with rows that it can predict"
        return f"the model cannot predict row {place + 1} of the sample: {error_text(error)}; leave out rows like it"

    def _together(self, many: Sequence[Row], rows: Sequence[Row]) -> Outputs:
        try:
            outputs = self.loaded.predict(many)
            misfit = outputs.misfit(len(many))
        except Exception as error:
            for place in range(min(len(rows), len(many))):
                self._alone(rows, place)
            raise ArtifactRefused(
                f"the model predicts one row and not {len(many)} rows together: {error_text(error)}{self._advice}"
            ) from error
        if misfit is not None:
            raise ArtifactRefused(f"{misfit}; each row must give one output{self._advice}")
        return outputs

    def _agree(self, ours: Outputs, theirs: Outputs) -> bool:
        tolerance = _FLOAT32_TOLERANCE if FORMATS[self.format].format.computes_in_float32 else NATIVE_TOLERANCE
        return agree(ours, theirs, classifies=self.signature.classes is not None, tolerance=tolerance)

    def _check_values(self, outputs: Outputs) -> None:
        classes = self.signature.classes
        widths = {len(row) for row in outputs.probabilities or ()}
        if classes is not None and widths - {len(classes)}:
            raise ArtifactRefused(
                f"the model gives {min(widths - {len(classes)})} probabilities a row, and has {len(classes)} classes"
            )
        try:
            orjson.dumps([outputs.predictions, outputs.probabilities])
        except TypeError as error:
            raise ArtifactRefused(
                f"the model's outputs have no form in JSON ({error}); let it answer with numbers, strings, booleans,"
                " lists or objects of them"
            ) from error


def _is_non_finite(outputs: Outputs) -> bool:
    return next(non_finite(outputs, single=True), None) is not None
