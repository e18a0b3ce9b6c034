"""Columns on their way through the steps of a model: numbers in a tensor, or codes of values that are told apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.compiler.lowering.graph import Graph, Tensor, Unsupported
from ai_platform.runtimes.onnx.coding import CODES, NUMBERS, words_name
from ai_platform.runtimes.onnx.texts import TextInput

UNKNOWN_TEXT = "\ufffdunknown"
# A table has an entry for each value of an input: beyond this the graph would be larger than the model.
_MOST_VALUES = 100_000


@dataclass(frozen=True, slots=True)
class Raw:
    """An input as it came: a number if that is wanted, or a code of its value.

    Attributes:
        place: of the input in the signature.
    """

    place: int


@dataclass(frozen=True, slots=True)
class Number:
    """A column of a tensor.

    Attributes:
        tensor: of numbers.
        place: of the column in it.
    """

    tensor: Tensor
    place: int


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of which each value of one input has become another value.

    Attributes:
        place: of the input in the signature.
        values: what each known value has become, then what an unknown one has; shape (n,), as the library has them.
        missing: what a missing one has become, shape (1,) or, where none is admitted, (0,).
    """

    place: int
    values: Any
    missing: Any


Column = Raw | Number | Coded
Columns = list[Column]


@dataclass(slots=True)
class Layout:
    """What a graph is given. A first attempt at writing it finds out, and the next is written for what that found.

    Attributes:
        known: for each input, the values that some step tells apart.
        numbers: places of the inputs that are given as numbers.
        codes: places of those that are given as codes.
        texts: inputs that are given as counts of their words, each in a tensor of its own.
        refused: of these, where an unknown value is refused.
        refused_missing: of these, where a missing value is refused.
    """

    known: list[list[Value]]
    numbers: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    texts: list[TextInput] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    refused_missing: set[int] = field(default_factory=set)


class Inputs:
    """The two tensors that a graph is given, and what a request's values are in them.

    Args:
        graph: that is being written.
        signature: the model's.
        column: gives values of one input as they stand in the table of the library.
        layout: of the graph, as the last attempt found it.

    Attributes:
        found: the layout as this attempt finds it.
        is_sparse: whether the library holds what the next step is given as a sparse matrix, of which XGBoost takes each
            zero for missing.
    """

    def __init__(
        self, graph: Graph, signature: Signature, column: Callable[[int, list[Value]], Any], layout: Layout
    ) -> None:
        self.graph, self.signature, self.layout = graph, signature, layout
        self.found = Layout([list(values) for values in layout.known])
        self.is_sparse = False
        self._column = column
        self._coded: dict[int, Coded] = {}

    def count(self, place: int) -> int:
        """How many codes an input has: its known values, an unknown one, and a missing one where that is admitted."""
        return len(self.layout.known[place]) + 1 + self.signature.inputs[place].nullable

    def number(self, place: int) -> Number:
        """An input as a number.

        Raises:
            Unsupported: it is a text.
        """
        if self.signature.inputs[place].type == "string":
            raise Unsupported(f"the text {self.signature.inputs[place].name!r} is computed with")
        return Number(Tensor(NUMBERS, len(self.layout.numbers)), _noted(place, self.layout.numbers, self.found.numbers))

    def coded(self, place: int, values: Sequence[Value]) -> Coded:
        """An input as a code of its value.

        Args:
            place: of the input.
            values: that are to be told apart.

        Raises:
            Unsupported: there are too many.
        """
        known = dict.fromkeys([*self.found.known[place], *values])
        if len(known) > _MOST_VALUES:
            raise Unsupported(f"{self.signature.inputs[place].name!r} has too many values")
        self.found.known[place] = list(known)
        if place not in self._coded:
            feature = self.signature.inputs[place]
            present = self.layout.known[place]
            missing = self._column(place, [None]) if feature.nullable else np.array([])
            self._coded[place] = Coded(
                place, self._column(place, [*present, unknown(feature, present)]), np.asarray(missing)
            )
        return self._coded[place]

    def codes(self, places: Sequence[int]) -> Tensor:
        """The codes of some inputs, whole numbers; no two inputs share one, so that one table serves all."""
        where = [_noted(place, self.layout.codes, self.found.codes) for place in places]
        return self.graph.columns(Tensor(CODES, len(self.layout.codes)), where)

    def text(self, given: TextInput) -> Tensor:
        """The counts of an input's words, shape (rows, vocabulary)."""
        if given not in self.found.texts:
            self.found.texts.append(given)
        return Tensor(words_name(self.found.texts.index(given)), len(given.vocabulary))

    def starts(self) -> list[int]:
        """The first code of each input, and behind them the number of all."""
        return [0, *accumulate(self.count(place) for place in range(len(self.signature.inputs)))]


def _noted(place: int, known: list[int], found: list[int]) -> int:
    """Where a place stands among those that are known; it is noted for the next attempt where it does not yet."""
    if place not in found:
        found.append(place)
        found.sort()
    return known.index(place) if place in known else 0


def unknown(feature: Feature, known: Sequence[Value]) -> Value:
    """A value of a feature's type that is none of the known ones; for a truth value there may be none."""
    if feature.type == "string":
        return UNKNOWN_TEXT
    if feature.type == "boolean":
        return next((value for value in (True, False) if value not in known), True)
    numbers = [value for value in known if isinstance(value, int | float)]
    return max(numbers, default=0) + 1


def tensor_of(inputs: Inputs, columns: Columns) -> Tensor:
    """Columns as one tensor of numbers.

    Raises:
        Unsupported: one of them is a text.
    """
    graph = inputs.graph
    numbers = _numbers(inputs, columns)
    groups: list[tuple[Tensor, list[int]]] = []
    for one in numbers:
        if groups and groups[-1][0] == one.tensor:
            groups[-1][1].append(one.place)
        else:
            groups.append((one.tensor, [one.place]))
    if not groups:
        raise Unsupported("a step is left without columns")
    return graph.beside([graph.columns(tensor, places) for tensor, places in groups])


def columns_of(tensor: Tensor) -> Columns:
    """Each column of a tensor."""
    return [Number(tensor, place) for place in range(tensor.width)]


def _numbers(inputs: Inputs, columns: Columns) -> list[Number]:
    found: list[Number | None] = [
        one if isinstance(one, Number) else inputs.number(one.place) if isinstance(one, Raw) else None
        for one in columns
    ]
    coded = [one for one in columns if isinstance(one, Coded)]
    if coded:
        looked_up = looked_up_numbers(inputs, coded, [_table(one) for one in coded])
        places = iter(range(len(coded)))
        found = [one if one is not None else Number(looked_up, next(places)) for one in found]
    return [one for one in found if one is not None]


def _table(one: Coded) -> Any:
    try:
        return np.concatenate([one.values, one.missing]).astype(np.float64)
    except (TypeError, ValueError):
        raise Unsupported("a text is computed with") from None


def looked_up_numbers(inputs: Inputs, coded: Sequence[Coded], tables: Sequence[Any]) -> Tensor:
    """One number a column for each code.

    Args:
        inputs: of the graph.
        coded: the columns.
        tables: for each, its number by code, shape (codes,).
    """
    places = [one.place for one in coded]
    if len(set(places)) < len(places):
        return inputs.graph.beside([
            looked_up_numbers(inputs, [one], [table]) for one, table in zip(coded, tables, strict=True)
        ])  # fmt: skip
    starts = inputs.starts()
    whole = np.zeros(starts[-1])
    for place, table in zip(places, tables, strict=True):
        whole[starts[place] : starts[place] + len(table)] = table
    graph = inputs.graph
    return graph.node("Gather", [graph.constant(whole), inputs.codes(places).name], len(places), axis=0)
