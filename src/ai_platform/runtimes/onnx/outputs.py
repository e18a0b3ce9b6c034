"""What a graph answers, as outputs: labels with probabilities or scores, one tensor of scores, or numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ai_platform.runtimes.base.runtime import Outputs
from ai_platform.runtimes.base.signature import Signature

if TYPE_CHECKING:
    import onnxruntime

Reader = Callable[[list[Any]], Outputs]

_FLOATS = frozenset({"tensor(float)", "tensor(double)"})
_LABELS = frozenset({"tensor(int64)", "tensor(int32)", "tensor(string)", "tensor(bool)"})
_MAPS = "seq(map("
_TABLE = 2  # dimensions


@dataclass(frozen=True, slots=True)
class OutputForm:
    """Which outputs are asked for.

    Attributes:
        labels: name of the output that tells the classes; of the maps, where there is nothing else; None without.
        names: outputs to compute, labels first.
        has_maps: whether probabilities come as one map a row, from label to probability.
        width: columns of the tensor of numbers or probabilities; None where the graph leaves it open.
        has_many_labels: whether a row has several labels; then nothing else is computed.
        may_have_many: whether the graph leaves open how many labels a row has.
    """

    labels: str | None
    names: list[str]
    has_maps: bool
    width: int | None
    has_many_labels: bool = False
    may_have_many: bool = False

    def scores(self, answered: list[Any]) -> Any | None:
        """Probabilities or scores of an answer, shape (n, classes); None where it has none."""
        if self.has_maps:
            return np.array([list(row.values()) for row in answered[-1]])
        found = np.asarray(answered[-1])
        return found if found.dtype.kind == "f" and found.ndim == _TABLE else None

    def reader(self, signature: Signature, *, trusted: bool) -> Reader:
        """What makes outputs of an answer.

        Args:
            signature: the model's.
            trusted: whether what stands beside the labels are probabilities; without, they are left out.

        Raises:
            ValueError: the signature has other classes than the graph, or none where it answers with classes.
        """
        if signature.classes is None:
            if self.labels is not None and not (self.has_many_labels or self.may_have_many):
                raise ValueError("the graph answers with classes, and the signature has none")
            return _numbers
        if self.has_many_labels:
            raise ValueError("the graph answers with several labels a row, and the signature has classes of one")
        values = list(signature.class_values or signature.classes)
        if self.width is not None and self.width != len(values):
            raise ValueError(f"the signature has {len(values)} classes, and the graph answers with {self.width}")
        if self.labels is None:
            return _Largest(values, keeps_scores=trusted).read
        if self.has_maps:
            return _Maps(values, keeps_scores=trusted).read
        return _Labels(values, keeps_scores=trusted and len(self.names) > 1).read


def output_form(session: "onnxruntime.InferenceSession") -> OutputForm:
    """Which outputs of a session are labels, probabilities or numbers.

    Raises:
        ValueError: there are none that this platform can answer with.
    """
    found = session.get_outputs()
    labels = [one for one in found if one.type in _LABELS and len(one.shape) <= _TABLE]
    maps = [one for one in found if one.type.startswith(_MAPS)]
    numbers = [one for one in found if one.type in _FLOATS and len(one.shape) <= _TABLE]
    if labels and (_width(labels[0]) or 1) > 1:
        return OutputForm(labels[0].name, [labels[0].name], has_maps=False, width=None, has_many_labels=True)
    is_open = bool(labels) and len(labels[0].shape) == _TABLE and _width(labels[0]) is None
    if maps and labels:
        names = [labels[0].name, maps[0].name]
        return OutputForm(labels[0].name, names, has_maps=True, width=None, may_have_many=is_open)
    if maps:
        return OutputForm(maps[0].name, [maps[0].name], has_maps=True, width=None)
    if labels:
        beside = [one for one in numbers if len(one.shape) == _TABLE]
        names = [labels[0].name, *(one.name for one in beside[:1])]
        width = _width(beside[0]) if beside else None
        return OutputForm(labels[0].name, names, has_maps=False, width=width, may_have_many=is_open)
    if len(numbers) == 1:
        width = _width(numbers[0]) if len(numbers[0].shape) == _TABLE else 1
        return OutputForm(None, [numbers[0].name], has_maps=False, width=width)
    kinds = ", ".join(f"{one.name[:40]} ({one.type})" for one in found[:5])
    raise ValueError(
        f"the graph's outputs are {kinds}; needed are labels, with probabilities where there are any, or one tensor"
        " with a number or some numbers a row"
    )


def _width(found: Any) -> int | None:
    if len(found.shape) < _TABLE:
        return None
    return found.shape[1] if isinstance(found.shape[1], int) else None


def _numbers(answered: list[Any]) -> Outputs:
    found = answered[0]
    if found.ndim == _TABLE and found.shape[1] == 1:
        found = found[:, 0]
    return Outputs(found.tolist())


class _Labels:
    """Labels, and a table of probabilities beside them or none."""

    def __init__(self, values: list[Any], *, keeps_scores: bool) -> None:
        self._values, self._keeps_scores = values, keeps_scores
        self._place = {value: number for number, value in enumerate(values)}

    def read(self, answered: list[Any]) -> Outputs:
        place, values = self._place, self._values
        numbers = [place[label] for label in answered[0].ravel().tolist()]
        predictions = [values[number] for number in numbers]
        return Outputs(predictions, numbers, answered[1].tolist() if self._keeps_scores else None)


class _Maps(_Labels):
    """One map a row, from label to probability, and labels beside them or not."""

    def read(self, answered: list[Any]) -> Outputs:
        rows = [[row[value] for value in self._values] for row in answered[-1]]
        if len(answered) > 1:
            numbers = [self._place[label] for label in answered[0].ravel().tolist()]
        else:
            numbers = [row.index(max(row)) for row in rows]
        return Outputs([self._values[number] for number in numbers], numbers, rows if self._keeps_scores else None)


class _Largest:
    """A table of scores, of which the largest is the class."""

    def __init__(self, values: list[Any], *, keeps_scores: bool) -> None:
        self._values, self._keeps_scores = values, keeps_scores

    def read(self, answered: list[Any]) -> Outputs:
        numbers = answered[0].argmax(axis=1).tolist()
        scores = answered[0].tolist() if self._keeps_scores else None
        return Outputs([self._values[number] for number in numbers], numbers, scores)
