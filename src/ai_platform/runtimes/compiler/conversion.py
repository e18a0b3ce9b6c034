"""A fitted scikit-learn estimator as ONNX graphs, one for each way of typing its inputs."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.compiler.imputer_nodes import correct_imputers
from ai_platform.runtimes.compiler.tree_nodes import correct, node_count, splits_on_missing
from ai_platform.runtimes.onnx.file import SIGNATURE_KEY
from ai_platform.runtimes.onnx.linear_form import LINEAR_KEY, linear_form

# A node of a tree takes a dozen attributes in a graph.
_BYTES_A_NODE = 80


@dataclass(frozen=True, slots=True)
class InputForm:
    """One way of giving a graph its inputs.

    Attributes:
        name: for people.
        is_double: numbers as float64; else as float32.
        by_column: one input a feature, with its own type; else one tensor of all.
        whole_numbers: by column, whether whole numbers stay whole; encoders of whole numbers want that, scalers not.
    """

    name: str
    is_double: bool
    by_column: bool = False
    whole_numbers: bool = False


def forms(signature: Signature) -> Iterator[InputForm]:
    """The ways to try, in the order of trial.

    Doubles come first, because they are what scikit-learn computes with (but for trees, see `tree_nodes`), and one
    tensor before columns, because it is faster.
    """
    kinds = {feature.type for feature in signature.inputs}
    if "string" not in kinds:
        yield InputForm("one tensor of float64", is_double=True)
        yield InputForm("one tensor of float32", is_double=False)
    if "integer" in kinds:
        yield InputForm("float64 and int64 columns", is_double=True, by_column=True, whole_numbers=True)
        yield InputForm("float32 and int64 columns", is_double=False, by_column=True, whole_numbers=True)
    yield InputForm("float64 columns", is_double=True, by_column=True)
    yield InputForm("float32 columns", is_double=False, by_column=True)


def convert(estimator: Any, signature: Signature, form: InputForm, *, has_probabilities: bool) -> bytes:
    """A graph that answers as the estimator does, with the signature in its metadata.

    Args:
        estimator: fitted; it is not changed.
        signature: its inputs and classes.
        form: how the graph takes its inputs.
        has_probabilities: whether it answers with them; what else stands beside labels is left out.

    Raises:
        Exception: whatever the converter raises for what it cannot convert.
    """
    from skl2onnx import to_onnx

    if form.is_double and splits_on_missing(estimator):
        raise ValueError("a tree asks whether a value is missing")  # the converter would never end
    options = None if signature.classes is None else {"zipmap": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = to_onnx(estimator, initial_types=_types(signature, form), options=options)
    correct(model.graph, estimator)
    if form.is_double:
        correct_imputers(model.graph, estimator)
    if signature.classes is not None and not has_probabilities:
        del model.graph.output[1:]
    _note(model, SIGNATURE_KEY, signature)
    linear = linear_form(model.graph)
    if linear is not None:
        _note(model, LINEAR_KEY, linear)
    return bytes(model.SerializeToString())


def _note(model: Any, key: str, what: msgspec.Struct) -> None:
    entry = model.metadata_props.add()
    entry.key, entry.value = key, msgspec.json.encode(what).decode()


def graph_bytes(estimator: Any) -> int:
    """About how large a graph the trees of an estimator make; 0 for an estimator without trees."""
    return node_count(estimator) * _BYTES_A_NODE


def _types(signature: Signature, form: InputForm) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    number = DoubleTensorType if form.is_double else FloatTensorType
    if not form.by_column:
        return [("inputs", number([None, len(signature.inputs)]))]
    return [(feature.name, _type(feature, form, number)([None, 1])) for feature in signature.inputs]


def _type(feature: Feature, form: InputForm, number: Any) -> Callable[[list[int | None]], Any]:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    found: Callable[[list[int | None]], Any] = number
    if feature.type == "string":
        found = StringTensorType
    elif feature.type == "integer" and form.whole_numbers and not feature.nullable:
        found = Int64TensorType
    return found
