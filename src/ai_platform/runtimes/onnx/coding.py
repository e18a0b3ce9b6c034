"""What a request's values are in a graph that the platform has written: numbers, and codes of values told apart."""

from typing import Any

import msgspec
import numpy as np

from ai_platform.runtimes.base.runtime import Outputs, Rows, Value
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.onnx.texts import Counter, TextInput

CODING_KEY = "ai_platform.coding"
"""The entry of a graph's metadata that holds its coding as JSON."""

LABEL, PROBABILITIES, NUMBERS_OUT, GUARD = "label", "probabilities", "predictions", "guard"
"""The outputs of such a graph: places of classes, shape (rows, 1); probabilities, shape (rows, classes); numbers; and,
where the model refuses numbers that are infinite or none, zero for each row without such, shape (rows, 1)."""

NUMBERS, CODES = "numbers", "codes"
"""The inputs of such a graph; those of texts have names of their own."""

# Rows of counts that are computed at a time: they are dense, and a request may have a thousand.
_MOST_COUNTS = 4_000_000


def words_name(place: int) -> str:
    """The graph's input of the counts of a text.

    Args:
        place: among the texts.
    """
    return f"words_{place}"


class CodedInput(msgspec.Struct, frozen=True):
    """An input that is given to the graph as a code.

    Attributes:
        place: of the input in the signature.
        values: that are told apart; the first has the code `first`, the next one more.
        first: code.
        unknown: code of any other value; None where such a value is refused.
        missing: code of a missing value; None where it is refused.
    """

    place: int
    values: list[str | int | float | bool]
    first: int
    unknown: int | None
    missing: int | None


class Coding(msgspec.Struct, frozen=True):
    """The two inputs of a graph.

    Attributes:
        numbers: places of the inputs that are given as float64, in the order of the graph's `numbers`; NaN if missing.
        codes: those that are given as int64 codes, in the order of the graph's `codes`.
        texts: those that are given as counts of their words.
    """

    numbers: list[int]
    codes: list[CodedInput]
    texts: list[TextInput] = []


class CodedModel:
    """A session of such a graph in service. Any number of threads may predict at once.

    Args:
        session: of the graph.
        signature: inputs and classes.
        coding: as its metadata has it.

    Raises:
        ValueError: the coding is not of this signature.
    """

    def __init__(self, session: Any, signature: Signature, coding: Coding) -> None:
        places = [*coding.numbers, *(one.place for one in coding.codes), *(one.place for one in coding.texts)]
        if any(not 0 <= place < len(signature.inputs) for place in places):
            raise ValueError("the graph reads inputs that the signature does not have")
        self._run = session.run
        self._numbers = coding.numbers
        self._is_whole = not (coding.codes or coding.texts) and coding.numbers == list(range(len(signature.inputs)))
        self._codes = [(one.place, _codes_of(one), one.unknown) for one in coding.codes]
        self._texts = [(words_name(place), Counter(one)) for place, one in enumerate(coding.texts)]
        widest = max((counter.width for _name, counter in self._texts), default=0)
        self._rows_at_a_time = max(1, _MOST_COUNTS // widest) if widest else None
        self._names = [one.name for one in session.get_outputs()]
        self._has_guard = self._names[-1] == GUARD
        widths = {one.name: one.shape[-1] for one in session.get_inputs()}
        if widths != _widths(coding):
            raise ValueError("the graph takes other inputs than its coding says")
        self._classes = None if signature.classes is None else list(signature.class_values or signature.classes)
        self._inputs = signature.inputs

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features).

        Raises:
            ValueError: a value is one that the model itself refuses.
        """
        answered = self.answers(rows)
        if self._has_guard and not (answered.pop() == 0).all():
            raise ValueError("a number is too large for the model, or is none after its logarithm or power")
        if self._classes is None:
            numbers = answered[0]
            return Outputs((numbers[:, 0] if numbers.shape[1] == 1 else numbers).tolist())
        places = answered[0][:, 0].tolist()
        values = self._classes
        return Outputs([values[place] for place in places], places, answered[1].tolist() if len(answered) > 1 else None)

    def answers(self, rows: Rows) -> list[Any]:
        """The graph's own outputs, in their order.

        Raises:
            ValueError: a value is one that the model itself refuses.
        """
        step = self._rows_at_a_time
        if step is None or len(rows) <= step:
            answered: list[Any] = self._run(self._names, self._tensors(rows))
            return answered
        parts = [
            self._run(self._names, self._tensors(rows[start : start + step])) for start in range(0, len(rows), step)
        ]
        return [np.concatenate(tables) for tables in zip(*parts, strict=True)]

    def _tensors(self, rows: Rows) -> dict[str, Any]:
        if self._is_whole:
            return {NUMBERS: np.array(rows, np.float64)}
        made: dict[str, Any] = {}
        if self._numbers:
            chosen = self._numbers
            made[NUMBERS] = np.array([[row[place] for place in chosen] for row in rows], np.float64)
        if self._codes:
            codes = [[known.get(row[place], unknown) for place, known, unknown in self._codes] for row in rows]
            try:
                made[CODES] = np.array(codes, np.int64)
            except TypeError:
                raise self._refusal(codes) from None
        for name, counter in self._texts:
            made[name] = counter.counts([row[counter.place] for row in rows])
        return made

    def _refusal(self, codes: list[list[int | None]]) -> ValueError:
        for row in codes:
            for (place, _known, _unknown), code in zip(self._codes, row, strict=True):
                if code is None:
                    return ValueError(f"{self._inputs[place].name!r} has a value that the model has not seen")
        return ValueError("a value cannot be coded")


def _widths(coding: Coding) -> dict[str, int]:
    """The columns of each input of the graph."""
    found = {NUMBERS: len(coding.numbers), CODES: len(coding.codes)}
    found |= {words_name(place): len(one.vocabulary) for place, one in enumerate(coding.texts)}
    return {name: width for name, width in found.items() if width}


def _codes_of(one: CodedInput) -> dict[Value, int | None]:
    return {**{value: one.first + number for number, value in enumerate(one.values)}, None: one.missing}


def coding_of(written: str) -> Coding:
    """The coding of a graph's metadata.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return msgspec.json.decode(written, type=Coding)
    except msgspec.MsgspecError:
        raise ValueError("the coding of inputs in the graph's metadata cannot be read") from None
