"""A linear model in service: few rows by plain arithmetic, many by one product of matrices."""

import math
from operator import mul
from typing import Any

import msgspec
import numpy as np

from ai_platform.runtimes.base.runtime import LoadedModel, Outputs, Rows
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.onnx.linear_form import LinearForm

# Products beyond which a call of NumPy costs less than plain arithmetic.
_MOST_PRODUCTS = 96
_TRIAL_ROWS = 64
# Sums in another order differ in the last bits.
_TOLERANCE = 1e-9


class LinearModel:
    """Weights in memory. Thread-safe.

    Args:
        form: what it computes.
        signature: inputs, none of which may be missing, and classes if there are any.
    """

    def __init__(self, form: LinearForm, signature: Signature) -> None:
        self._columns = list(zip(form.weights, form.bias, strict=True))
        self._weights = np.ascontiguousarray(np.array(form.weights).T)
        self._bias = np.array(form.bias)
        self._link = form.link
        self._values = None if signature.classes is None else list(signature.class_values or signature.classes)
        self._most_rows = _MOST_PRODUCTS // self._weights.size

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features)."""
        if self._values is None:
            sums = self._sums(rows)
            return Outputs(sums if len(self._columns) > 1 else [value for (value,) in sums])
        if len(rows) <= self._most_rows:
            return self._few(rows, self._values)
        return self._many(rows, self._values)

    def _sums(self, rows: Rows) -> list[list[float]]:
        if len(rows) <= self._most_rows:
            return [[sum(map(mul, row, weights), bias) for weights, bias in self._columns] for row in rows]
        sums: list[list[float]] = (np.array(rows, np.float64) @ self._weights + self._bias).tolist()
        return sums

    def _few(self, rows: Rows, values: list[Any]) -> Outputs:
        numbers, probabilities = [], []
        for sums in self._sums(rows):
            largest = max(sums)
            number = sums.index(largest)
            numbers.append(number)
            if self._link == "softmax":
                raised = [math.exp(value - largest) for value in sums]
            else:
                raised = [math.exp(-largest)] * 2
                raised[number] = 1.0
            whole = sum(raised)
            probabilities.append([value / whole for value in raised])
        return Outputs([values[number] for number in numbers], numbers, probabilities)

    def _many(self, rows: Rows, values: list[Any]) -> Outputs:
        sums = np.array(rows, np.float64) @ self._weights + self._bias
        numbers = sums.argmax(axis=1).tolist()
        if self._link == "sigmoid":
            sums = np.where(sums > 0, 0.0, -np.abs(sums))
        raised = np.exp(sums - sums.max(axis=1, keepdims=True))
        probabilities = (raised / raised.sum(axis=1, keepdims=True)).tolist()
        return Outputs([values[number] for number in numbers], numbers, probabilities)


def linear_model(written: str, signature: Signature, graph: LoadedModel) -> LinearModel | None:
    """A linear model in place of the graph that says of itself that it is linear; None if it is not, or not quite.

    Args:
        written: a `LinearForm` as JSON.
        signature: the graph's.
        graph: the graph itself, with which it is compared.
    """
    if any(feature.nullable or feature.type not in {"number", "integer"} for feature in signature.inputs):
        return None
    try:
        form = msgspec.json.decode(written, type=LinearForm)
        model = LinearModel(form, signature)
        rows = np.random.default_rng(0).normal(scale=10.0, size=(_TRIAL_ROWS, len(signature.inputs))).tolist()
        theirs = graph.predict(rows)
        alike = _alike(model.predict(rows), theirs) and all(
            _alike(model.predict([row]), theirs.slice(number, number + 1)) for number, row in enumerate(rows)
        )
    except Exception:  # noqa: BLE001  # the library has no class of its own, and what is written may be anything
        return None
    return model if alike else None


def _alike(ours: Outputs, theirs: Outputs) -> bool:
    if ours.class_numbers is None:
        return bool(np.allclose(ours.predictions, theirs.predictions, rtol=_TOLERANCE, atol=_TOLERANCE))
    if theirs.probabilities is None or ours.predictions != theirs.predictions:
        return False
    return bool(np.allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=_TOLERANCE))  # type: ignore[arg-type]
