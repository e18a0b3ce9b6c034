"""Recognising that a graph is linear: weights, a bias, and what is done with their sum. Needs `onnx`; for publishing.

ONNX Runtime takes tens of microseconds for a graph of a dozen nodes, whatever they do; the same sums take a few.
"""

from typing import Any, Literal

import msgspec
import numpy as np

LINEAR_KEY = "ai_platform.linear"
"""The entry of a compiled graph's metadata that holds its linear form as JSON."""

Link = Literal["softmax", "sigmoid", "identity"]

_DOUBLE = 11
# What hands on an answer, or makes it of the sums; none of these changes which numbers are meant.
_ANSWERS = frozenset({"ArgMax", "Cast", "Concat", "Greater", "Identity", "Sigmoid", "Softmax", "Sub"})
_LARGEST_SIZE = 4_096


class LinearForm(msgspec.Struct, frozen=True):
    """What a linear graph computes: `link(row @ weights + bias)`.

    Attributes:
        weights: one tuple an output, of one number an input.
        bias: one number an output.
        link: `softmax` over the outputs; `sigmoid` of two outputs, of which the first is the other's negative; or
            none, for numbers.
    """

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    link: Link


def linear_form(graph: Any) -> LinearForm | None:
    """The linear form of a graph with one tensor of doubles as its input; None if it is another kind of graph.

    Args:
        graph: `onnx.GraphProto`, as the compiler made it.
    """
    from onnx import numpy_helper

    if len(graph.input) != 1 or graph.input[0].type.tensor_type.elem_type != _DOUBLE:
        return None
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    if not 0 < width <= _LARGEST_SIZE:
        return None
    following = _Sums(constants, graph.input[0].name, width)
    rest = [node for node in graph.node if not following.takes(node)]
    if any(node.op_type not in _ANSWERS for node in rest):
        return None
    return following.form({node.op_type for node in rest}, is_classifier=len(graph.output) > 1)


class _Sums:
    """The last tensor that is still `row @ weights + bias`."""

    def __init__(self, constants: dict[str, Any], name: str, width: int) -> None:
        self._constants = constants
        self._name = name
        self._weights: Any = np.eye(width)
        self._bias: Any = np.zeros(width)

    def takes(self, node: Any) -> bool:
        """Whether a node makes another such tensor of it."""
        if node.op_type == "Cast" and list(node.input) == [self._name]:
            if next(one.i for one in node.attribute if one.name == "to") != _DOUBLE:
                return False
        elif not self._computes(node):
            return False
        self._name = node.output[0]
        return True

    def _computes(self, node: Any) -> bool:
        if len(node.input) != 2 or node.input[0] != self._name or node.input[1] not in self._constants:  # noqa: PLR2004
            return False
        other = np.asarray(self._constants[node.input[1]], np.float64)
        if node.op_type == "MatMul" and other.ndim == 2:  # noqa: PLR2004
            self._weights, self._bias = self._weights @ other, self._bias @ other
            return True
        other = other.ravel()
        if other.size not in {1, self._bias.size} or node.op_type not in {"Add", "Sub", "Mul", "Div"}:
            return False
        if node.op_type in {"Add", "Sub"}:
            self._bias = self._bias + (other if node.op_type == "Add" else -other)
        else:
            factor = other if node.op_type == "Mul" else 1 / other
            self._weights, self._bias = self._weights * factor, self._bias * factor
        return True

    def form(self, rest: set[str], *, is_classifier: bool) -> LinearForm | None:
        """The form, if what the remaining nodes do with the sums is known."""
        link: Link = "softmax" if "Softmax" in rest else "sigmoid" if "Sigmoid" in rest else "identity"
        if (link == "identity") == is_classifier or (link == "identity" and not rest <= {"Identity"}):
            return None
        if not (np.isfinite(self._weights).all() and np.isfinite(self._bias).all()):
            return None
        weights, bias = self._weights.T.tolist(), self._bias.tolist()
        if link == "sigmoid":
            if len(bias) != 1:
                return None
            weights, bias = [[-value for value in weights[0]], *weights], [-bias[0], *bias]
        return LinearForm(tuple(tuple(column) for column in weights), tuple(bias), link)
