"""Graphs that take a fixed number of rows a call, which is what exporters write unless they are told otherwise."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ai_platform.runtimes.base.runtime import WrongOutputs

if TYPE_CHECKING:
    import onnxruntime

Run = Callable[[Sequence[str], dict[str, Any]], list[Any]]

_DYNAMIC = "export it with a dynamic batch dimension (PyTorch: `dynamic_axes`, skl2onnx: `[None, features]`)"


def frozen_rows(session: "onnxruntime.InferenceSession") -> int | None:
    """How many rows the graph's inputs say that a call has; None when they leave it open.

    Raises:
        ValueError: they contradict one another, or a row cannot be told from a column.
    """
    found = [one for one in session.get_inputs() if one.shape and isinstance(one.shape[0], int)]
    sizes = sorted({one.shape[0] for one in found})
    if not sizes:
        return None
    if len(sizes) > 1 or sizes[0] < 1:
        raise ValueError(f"the graph's inputs have batch dimensions of {sizes[0]} and {sizes[-1]} rows; {_DYNAMIC}")
    flat = [one.name for one in found if len(one.shape) == 1]
    if flat and sizes[0] > 1:
        raise ValueError(
            f"the graph's input {flat[0][:80]!r} has one dimension of {sizes[0]}, which may be rows or columns;"
            f" {_DYNAMIC}, of shape (rows, columns)"
        )
    return int(sizes[0])


class FixedRows:
    """Runs a graph on as many rows a call as it takes; the last call is filled up with copies of the last row.

    Args:
        run: of a session.
        rows: rows of a call.
    """

    def __init__(self, run: Run, rows: int) -> None:
        self._run = run
        self._rows = rows

    def __call__(self, names: Sequence[str], tensors: dict[str, Any]) -> list[Any]:
        """Answers of all rows, as the session would give them.

        Raises:
            WrongOutputs: a call gave another number of outputs than it had rows.
        """
        count = len(next(iter(tensors.values())))
        parts = [self._part(names, tensors, start, count) for start in range(0, count, self._rows)]
        return [_joined(column) for column in zip(*parts, strict=True)]

    def _part(self, names: Sequence[str], tensors: dict[str, Any], start: int, count: int) -> list[Any]:
        real = min(self._rows, count - start)
        chosen = [*range(start, start + real), *[start + real - 1] * (self._rows - real)]
        answered = self._run(names, {name: tensor[chosen] for name, tensor in tensors.items()})
        return [self._cut(column, real) for column in answered]

    def _cut(self, column: Any, real: int) -> Any:
        if isinstance(column, np.ndarray) and column.ndim == 0:
            column = column.reshape(1)
        if len(column) != self._rows:
            raise WrongOutputs(f"the graph gave {len(column)} outputs in a call of {self._rows} rows")
        return column[:real]


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    return np.concatenate(parts)
