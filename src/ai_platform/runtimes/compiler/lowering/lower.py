"""The entry: a fitted estimator as a graph, and what a request's values are written as for it."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.compiler.lowering import (  # noqa: F401  # each registers its rules
    boosters,
    encoding,
    ensembles,
    forests,
    functions,
    imputing,
    linear,
    scaling,
    structure,
    texts,
)
from ai_platform.runtimes.compiler.lowering.columns import Column, Inputs, Layout, Raw
from ai_platform.runtimes.compiler.lowering.graph import MOST_BYTES, Graph, Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import Predictor, predictor_of
from ai_platform.runtimes.compiler.lowering.trees import leaf_numbers
from ai_platform.runtimes.onnx.coding import (
    CODES,
    CODING_KEY,
    GUARD,
    LABEL,
    NUMBERS,
    NUMBERS_OUT,
    PROBABILITIES,
    CodedInput,
    Coding,
    words_name,
)
from ai_platform.runtimes.onnx.file import SIGNATURE_KEY
from ai_platform.runtimes.onnx.linear_form import LINEAR_KEY, linear_form
from ai_platform.runtimes.sklearn.tables import table_for

# Each attempt knows what the one before has found out; chains of encoders need one more each.
_MOST_ATTEMPTS = 5
_KINDS = {np.float64: "DOUBLE", np.float32: "FLOAT"}


@dataclass(frozen=True, slots=True)
class Lowered:
    """An estimator as a graph.

    Attributes:
        content: an ONNX file, with the platform's signature and the coding of its inputs in the metadata.
        leaves: another, which takes the same and answers with the leaf of each tree; None for a model without trees.
        leaf_counts: leaves of each tree, in the order in which that one answers.
    """

    content: bytes
    leaves: bytes | None
    leaf_counts: list[int]


def lowered(
    estimator: Any,
    signature: Signature,
    places: list[int | None],
    *,
    has_probabilities: bool,
    largest_bytes: int = MOST_BYTES,
) -> Lowered:
    """Write an estimator as a graph.

    Args:
        estimator: fitted; it is not changed.
        signature: its inputs and classes.
        places: for each column that the estimator is given, its place in the signature; None for one that is not read.
        has_probabilities: whether a classifier answers with them.
        largest_bytes: of the file.

    Raises:
        Unsupported: a step has no rule, or the file would be larger.
        Exception: what the library raises for a value of its own.
    """
    table = table_for(estimator, signature)

    def column(place: int, values: list[Value]) -> Any:
        rows: list[list[Value]] = [[None] * len(signature.inputs) for _ in values]
        for row, value in zip(rows, values, strict=True):
            row[place] = value
        made = table(rows)
        return made.iloc[:, place].to_numpy() if hasattr(made, "iloc") else np.asarray(made)[:, place]

    given: list[Column | None] = [None if place is None else Raw(place) for place in places]
    layout = Layout([[] for _ in signature.inputs])
    for _ in range(_MOST_ATTEMPTS):
        graph = Graph(largest_bytes)
        inputs = Inputs(graph, signature, column, layout)
        answer = predictor_of(estimator, inputs, given)  # type: ignore[arg-type]  # None is read by nobody
        outputs = _outputs(answer, signature, has_probabilities=has_probabilities)
        guard = graph.guard()
        outputs += [] if guard is None else [(guard.name, GUARD, "DOUBLE")]
        if inputs.found == layout:
            return _whole(inputs, outputs)
        layout = inputs.found
    raise Unsupported("what is told apart of its inputs has no end")


def _whole(inputs: Inputs, outputs: list[tuple[str, str, str]]) -> Lowered:
    graph = inputs.graph
    content = _written(inputs, outputs)
    found = list(graph.ensembles)
    if not found:
        return Lowered(content, None, [])
    numbers = [leaf_numbers(graph, one) for one in found]
    leaves = _written(inputs, [(one.name, f"leaves_{place}", _KINDS[found[place].dtype]) for place, one in
                               enumerate(numbers)])  # fmt: skip
    return Lowered(content, leaves, [tree.leaves for one in found for tree in one.trees])


def _outputs(answer: Predictor, signature: Signature, *, has_probabilities: bool) -> list[tuple[str, str, str]]:
    if signature.classes is None:
        return [(answer.numbers.name, NUMBERS_OUT, "DOUBLE")]
    label: Tensor = answer.label
    found = [(label.name, LABEL, "INT64")]
    return [*found, (answer.probabilities.name, PROBABILITIES, "DOUBLE")] if has_probabilities else found


def _written(inputs: Inputs, outputs: list[tuple[str, str, str]]) -> bytes:
    layout = inputs.layout
    taken = [(NUMBERS, "DOUBLE", len(layout.numbers))] if layout.numbers else []
    taken += [(CODES, "INT64", len(layout.codes))] if layout.codes else []
    taken += [(words_name(place), "DOUBLE", len(one.vocabulary)) for place, one in enumerate(layout.texts)]
    if not taken:
        raise Unsupported("it reads none of its inputs")
    model = inputs.graph.model(taken, outputs)
    sums = linear_form(model.graph)
    known = ((SIGNATURE_KEY, inputs.signature), (CODING_KEY, _coding(inputs)), (LINEAR_KEY, sums))
    for key, what in known:
        if what is not None:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, msgspec.json.encode(what).decode()
    return bytes(model.SerializeToString())


def _coding(inputs: Inputs) -> Coding:
    layout, starts = inputs.layout, inputs.starts()
    codes = []
    for place in layout.codes:
        known, first = layout.known[place], starts[place]
        is_nullable = inputs.signature.inputs[place].nullable
        codes.append(
            CodedInput(
                place=place,
                values=[value for value in known if value is not None],
                first=first,
                unknown=None if place in layout.refused else first + len(known),
                missing=None if place in layout.refused_missing or not is_nullable else first + len(known) + 1,
            )
        )
    return Coding(numbers=list(layout.numbers), codes=codes, texts=list(layout.texts))
