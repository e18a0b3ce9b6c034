"""The runtime of boosted trees, whichever library grew them; what differs is how a file becomes a `Booster`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, BinaryIO, ClassVar, Literal

from ai_platform.runtimes.base.completing import classifier, completed_inputs, regressor
from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel, Outputs, Rows
from ai_platform.runtimes.base.signature import Feature, Signature

Answer = Literal["probability", "probabilities", "label", "number"]
"""What the library's raw prediction of a row is: of the second of two classes, of each class, a class, or a number."""

MISSING_EXTRA = "install the extra that brings it: pip install 'ai-platform[boosters]'"
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Booster:
    """A library's booster, with what its file says of it.

    Attributes:
        inputs: its features.
        named: whether their names are the file's.
        count: how many features the library takes.
        answer: what it predicts of a row.
        classes: how many; 2 where it is not said.
        predict: predicts rows, shape (n, features), where None is a missing value; from any number of threads, and
            each call on one. An array of shape (n,) or (n, columns).
        own: the library's own object, for what reads it at publishing and makes something else of it.
        respelt: whether names in the file may be written in another way than in training.
    """

    inputs: list[Feature]
    named: bool
    count: int
    answer: Answer
    classes: int
    predict: Callable[[Rows], Any]
    own: Any
    respelt: bool = False


class BoosterRuntime(ABC):
    """Loads boosters of the native interface and of the scikit-learn wrapper alike.

    No file holds labels: XGBoost demands whole numbers from 0, and LightGBM's wrapper keeps its labels outside the
    booster. So without `--classes` the classes are 0, 1 and so on; with it, they are named, and the predictions are
    still those numbers. A ranker's score is a number like a regressor's.

    A library can crash on a file that was damaged or made to crash it. What is published was loaded in the sandbox
    before, so that no process that serves is the first to try.
    """

    format: Format
    distribution: ClassVar[str]

    @abstractmethod
    def _content(self, artifact: BinaryIO) -> Any:
        """The file, if it is of this format, which is found out without its library; it is at its start afterwards."""

    @abstractmethod
    def _booster(self, content: Any) -> Booster:
        """Made by the library, unless that is not installed, or the booster has what is not served."""

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """None: trees are data.

        Raises:
            ValueError: it is not of this format.
        """
        self._content(artifact)
        return []

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """Names from the file when it was trained on a DataFrame, else from the sample; classes by their number.

        Raises:
            ValueError: as `Runtime.read_signature`.
        """
        booster = self._booster(self._content(artifact))
        inputs = completed_inputs(booster.inputs, hints, named=booster.named, missing=True)
        if booster.answer == "number":
            return regressor(inputs, hints, respelt=booster.respelt)
        return classifier(inputs, range(booster.classes), hints, respelt=booster.respelt)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Make a model of it.

        Raises:
            ValueError: it is not of this format, is not served, or has other inputs or classes than the signature; or
                its library is not installed.
        """
        return BoosterModel(self._booster(self._content(artifact)), signature)

    def libraries(self) -> dict[str, str]:
        """What reads it."""
        return {self.format.name: metadata.version(self.distribution)}


class BoosterModel:
    """A booster in service.

    Args:
        booster: of a file.
        signature: inputs and classes.

    Attributes:
        estimator: the library's own object; not to be changed.

    Raises:
        ValueError: the booster has others.
    """

    def __init__(self, booster: Booster, signature: Signature) -> None:
        if len(signature.inputs) != booster.count:
            raise ValueError(f"the signature has {len(signature.inputs)} inputs, and the model takes {booster.count}")
        count, found = 0 if booster.answer == "number" else booster.classes, len(signature.classes or ())
        if found != count:
            raise ValueError(f"the signature has {found} classes, and the model has {count}")
        self._raw = booster.predict
        self.estimator = booster.own
        self._answer = booster.answer
        self._values: list[Any] = list(signature.class_values or signature.classes or ())

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features); None is a missing value."""
        raw = self._raw(rows)
        if self._answer == "number":
            return Outputs(raw.tolist())
        if self._answer == "probability":
            probabilities = [[1.0 - second, second] for second in raw.tolist()]
            numbers = [int(second > _HALF) for _first, second in probabilities]
            return Outputs([self._values[number] for number in numbers], numbers, probabilities)
        if self._answer == "label":
            numbers = [int(label) for label in raw.tolist()]
            return Outputs([self._values[number] for number in numbers], numbers)
        numbers = raw.argmax(axis=1).tolist()
        return Outputs([self._values[number] for number in numbers], numbers, raw.tolist())
