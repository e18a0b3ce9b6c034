"""What every runtime does: rows in, aligned outputs out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import msgspec

from ai_platform.runtimes.base.signature import Feature, FeatureType, Signature

Value = float | int | str | bool | None
Rows = Sequence[Sequence[Value]]


class WrongOutputs(ValueError):
    """A model's answer is not one output a row; no other input would change that."""


class Outputs(msgspec.Struct, frozen=True):
    """Aligned columns: entry i of each belongs to row i.

    Attributes:
        predictions: what the library's own `predict` returns, as JSON values; of a model with several outputs, each
            is a list with one value an output, and the next two are None.
        class_numbers: for a classifier, the predicted class's place in the signature's classes.
        probabilities: for a classifier that has them, one row of probabilities in the order of the classes.
    """

    predictions: list[Any]
    class_numbers: list[int] | None = None
    probabilities: list[list[float]] | None = None

    def __len__(self) -> int:
        return len(self.predictions)

    def misfit(self, rows: int) -> str | None:
        """Why these are no outputs of so many rows; None when each row has its own."""
        numbers, probabilities = self.class_numbers, self.probabilities
        if len(self.predictions) != rows:
            return f"the model gave {len(self.predictions)} outputs for {_counted(rows)}"
        if numbers is not None and len(numbers) != rows:
            return f"the model gave {len(numbers)} classes for {_counted(rows)}"
        if probabilities is not None and len(probabilities) != rows:
            return f"the model gave probabilities of {_counted(len(probabilities))} for {_counted(rows)}"
        return None

    def slice(self, start: int, stop: int | None) -> "Outputs":
        """The outputs of rows `start` to `stop` (exclusive; None for all that follow)."""
        return Outputs(
            self.predictions[start:stop],
            None if self.class_numbers is None else self.class_numbers[start:stop],
            None if self.probabilities is None else self.probabilities[start:stop],
        )


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of several calls as those of one."""
    numbers = [part.class_numbers for part in parts]
    probabilities = [part.probabilities for part in parts]
    return Outputs(
        [value for part in parts for value in part.predictions],
        None if None in numbers else [value for part in numbers for value in part or ()],
        None if None in probabilities else [row for part in probabilities for row in part or ()],
    )


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


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


class OtherReadings(msgspec.Struct, frozen=True):
    """A column of text cells as other types than the likeliest.

    Attributes:
        string: as strings, where only the empty cell is missing.
        number: as numbers; None where some cells are none.
    """

    string: Feature
    number: Feature | None


@dataclass(frozen=True, slots=True)
class Hints:
    """What a publisher knows of a model and its artifact may not say.

    Attributes:
        inputs: features read from a sample, in the order of its columns; None without a sample.
        classes: the classes' names, in the order of the model's own classes; None when it names them itself.
        others: of a sample of text cells, each column's other readings, aligned with `inputs`.
    """

    inputs: tuple[Feature, ...] | None = None
    classes: tuple[str, ...] | None = None
    others: tuple[OtherReadings, ...] | None = None

    def column(self, place: int, kind: FeatureType | None) -> Feature:
        """A column of the sample as the type that the model demands, as far as its cells are of it.

        Args:
            place: of the column in the sample.
            kind: None where the model does not say; then the likeliest.
        """
        assert self.inputs is not None
        likeliest = self.inputs[place]
        if kind in {None, likeliest.type} or self.others is None:
            return likeliest
        if kind == "string":
            return self.others[place].string
        number = self.others[place].number
        return likeliest if likeliest.type != "string" or number is None else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What is known of a format without a file of it.

    Attributes:
        name: as it stands in manifests.
        endings: of files that are taken for it where nobody names a format, with the dot.
        releases_gil: whether its library computes without the GIL, so that a thread is as good as a process; of the
            other formats it depends on the model, and is measured.
        runs_code: whether a file is code, or names code that runs when it is opened.
        judged_by_type: whether what a file would make are data types, which an operator can judge by their names.
        computes_in_float32: whether sums may depend on how many rows are computed together by as much as float32 does.
        only_apart: whether a model is never loaded in a process that serves, because its code is the file.
        advice_together: what its publisher does where rows that are computed together answer otherwise than alone.
    """

    name: str
    endings: tuple[str, ...]
    releases_gil: bool = False
    runs_code: bool = False
    judged_by_type: bool = False
    computes_in_float32: bool = False
    only_apart: bool = False
    advice_together: str = ""


class Runtime(Protocol):
    """Loads one format. Every implementation passes `tests/runtimes/conformance/test_runtimes.py`.

    An artifact is a readable, seekable binary file at its start, with a descriptor; the one loader has verified it, and
    closes it afterwards. What is read of it must be read before the call returns.

    Attributes:
        format: what is known of the format without a file of it.
    """

    format: Format

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """What loading it would execute or make that is the artifact's own choice; none for a format of plain data.

        The one loader asks for a trusted signature when there is any. Nothing of the artifact is executed here.

        Raises:
            ValueError: it is not of this format.
        """
        ...

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """Inputs and outputs as the model itself knows them, completed by the hints.

        Raises:
            ValueError: what is needed stands neither in the artifact nor in the hints; the sentence names the option
                (`--sample`, `--classes`) that would give it.
        """
        ...

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Make a model of it.

        Raises:
            ValueError: it is not of this format, or not one that can be loaded here; the sentence says why.
            Exception: whatever the library raises.
        """
        ...

    def libraries(self) -> dict[str, str]:
        """Name to installed version of what an artifact of this format depends on."""
        ...
