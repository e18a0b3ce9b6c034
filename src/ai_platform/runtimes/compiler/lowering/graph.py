"""An ONNX graph while it is written: nodes, constants, and the tensors between them. All numbers are float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OPSET, ML_OPSET = 21, 5
MOST_BYTES = 1_000_000_000
"""Of a graph: protocol buffers end at two gigabytes."""
_IR_VERSION = 10
_ML_OPERATORS = frozenset({"TreeEnsemble"})


class Unsupported(Exception):
    """A step has no rule here, or is set in a way that its rule does not know; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph, shape (rows, width), float64 unless its maker says otherwise.

    Attributes:
        name: in the graph.
        width: columns.
    """

    name: str
    width: int


class Graph:
    """Nodes in the order of computing. A node that was asked for twice with the same inputs is written once.

    Args:
        largest_bytes: of the file that it makes.
    """

    def __init__(self, largest_bytes: int = MOST_BYTES) -> None:
        self.largest_bytes = largest_bytes
        self.nodes: list[Any] = []
        self.ensembles: list[Any] = []  # of trees, as their rule notes them
        # Set by what may make an infinite number, or none, of a finite one: logarithms, powers.
        self.may_be_infinite = False
        self._guards: dict[str, Tensor] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self._initializers: list[Any] = []
        self._made: dict[tuple[Any, ...], Any] = {}
        self._number = 0

    def constant(self, values: Any, dtype: Any = np.float64) -> str:
        """The name of a constant.

        Args:
            values: of any shape.
            dtype: as NumPy calls it.
        """
        from onnx import numpy_helper

        array = np.ascontiguousarray(values, dtype=dtype)
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"c{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def row(self, values: Any) -> str:
        """The name of a constant of one row, shape (1, n), that is computed with every row of a tensor."""
        return self.constant(np.reshape(values, (1, -1)))

    def node(self, operator: str, inputs: Sequence[str], width: int, **attributes: Any) -> Tensor:
        """Write a node with one output.

        Args:
            operator: of ONNX, or of its machine-learning operators.
            inputs: names of tensors and constants.
            width: columns of the output.
            attributes: of the operator.
        """
        from onnx import helper

        simple = all(isinstance(value, int | float | str) for value in attributes.values())
        key = (operator, tuple(inputs), tuple(sorted(attributes.items()))) if simple else None
        if key is not None and key in self._made:
            found: Tensor = self._made[key]
            return found
        self._number += 1
        made = Tensor(f"t{self._number}", width)
        domain = "ai.onnx.ml" if operator in _ML_OPERATORS else ""
        self.nodes.append(helper.make_node(operator, list(inputs), [made.name], domain=domain, **attributes))
        if key is not None:
            self._made[key] = made
        return made

    def with_row(self, operator: str, tensor: Tensor, values: Any) -> Tensor:
        """A tensor, and one number for each of its columns, or one for all."""
        return self.node(operator, [tensor.name, self.row(values)], max(tensor.width, np.size(values)))

    def both(self, operator: str, first: Tensor, second: Tensor) -> Tensor:
        """Two tensors of the same width, or one of them of width 1."""
        return self.node(operator, [first.name, second.name], max(first.width, second.width))

    def each(self, operator: str, tensor: Tensor, **attributes: Any) -> Tensor:
        """Every number by itself, as by `Exp`."""
        return self.node(operator, [tensor.name], tensor.width, **attributes)

    def cast(self, tensor: Tensor, to: str = "DOUBLE") -> Tensor:
        """A tensor as another type: `DOUBLE`, `FLOAT`, `INT64`, `BOOL`."""
        from onnx import TensorProto

        return self.each("Cast", tensor, to=int(getattr(TensorProto, to)))

    def columns(self, tensor: Tensor, places: Sequence[int]) -> Tensor:
        """Some columns of a tensor, in any order; the tensor itself for all in order."""
        if list(places) == list(range(tensor.width)):
            return tensor
        return self.node("Gather", [tensor.name, self.constant(places, np.int64)], len(places), axis=1)

    def beside(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors side by side."""
        if len(tensors) == 1:
            return tensors[0]
        return self.node("Concat", [one.name for one in tensors], sum(one.width for one in tensors), axis=1)

    def product(self, tensor: Tensor, weights: Any) -> Tensor:
        """A tensor times a matrix, shape (width, outputs)."""
        return self.node("MatMul", [tensor.name, self.constant(weights)], np.shape(weights)[1])

    def over_columns(self, operator: str, tensor: Tensor) -> Tensor:
        """One number a row, as by `ReduceSum` or `ReduceMax`; shape (rows, 1)."""
        return self.node(operator, [tensor.name, self.constant([1], np.int64)], 1, keepdims=1)

    def require_finite(self, tensor: Tensor, *, allows_nan: bool = False) -> None:
        """Have rows refused in which a number is infinite, or NaN, as the library refuses them.

        Args:
            tensor: the numbers.
            allows_nan: whether NaN, a missing value, is admitted.
        """
        if tensor.name in self._guards:
            return
        checked = tensor
        if allows_nan:
            checked = self.where(self.each("IsNaN", tensor), self.row([0.0]), tensor.name, tensor.width)
        self._guards[tensor.name] = self.over_columns("ReduceSum", self.with_row("Mul", checked, [0.0]))

    def guard(self) -> Tensor | None:
        """Zero in each row that is not to be refused, shape (rows, 1); None where none ever is."""
        total: Tensor | None = None
        for one in self._guards.values():
            total = one if total is None else self.both("Add", total, one)
        return total

    def where(self, condition: Tensor, yes: str, no: str, width: int) -> Tensor:
        """A choice by a tensor of truth values between tensors or constants."""
        return self.node("Where", [condition.name, yes, no], width)

    def model(self, inputs: Sequence[tuple[str, str, int]], outputs: Sequence[tuple[str, str, str]]) -> Any:
        """The whole as `onnx.ModelProto`.

        Args:
            inputs: name, type (`DOUBLE`, `INT64`) and width of each.
            outputs: name of a tensor, name to be given to it, and type.
        """
        from onnx import TensorProto, helper

        taken = [
            helper.make_tensor_value_info(name, getattr(TensorProto, kind), [None, width])
            for name, kind, width in inputs
        ]
        given, nodes = [], list(self.nodes)
        for tensor, name, kind in outputs:
            nodes.append(helper.make_node("Identity", [tensor], [name]))
            given.append(helper.make_tensor_value_info(name, getattr(TensorProto, kind), [None, None]))
        graph = helper.make_graph(nodes, "model", taken, given, self._initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
