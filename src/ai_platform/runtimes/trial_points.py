"""Rows to compare two models on: near the boundaries of the first, spread over its ranges, and with what is unknown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ai_platform.runtimes.runtime import LoadedModel, Outputs, Rows, Value
from ai_platform.runtimes.signature import Feature, Signature

_PAIRS = 32
_ROUNDS = 30
# Without probabilities nothing tells how near a boundary a row is, and on it two right answers may differ.
_ROUNDS_WITHOUT_PROBABILITIES = 14
_SPREAD = 256
_NULL_CHANCE = 0.1
_UNKNOWN = "\ufffdunknown"


def spread_rows(signature: Signature, rows: Rows) -> list[list[Value]]:
    """Rows drawn evenly from each feature's range, with a missing value here and there where one is admitted.

    Args:
        signature: whose ranges and categories count beside those of the rows.
        rows: a sample, shape (n, features), n >= 1.
    """
    chance = np.random.default_rng(0)
    columns = [_column(feature, [row[place] for row in rows], chance) for place, feature in enumerate(signature.inputs)]
    return [list(row) for row in zip(*columns, strict=True)]


def boundary_rows(model: LoadedModel, signature: Signature, rows: Rows) -> list[list[Value]]:
    """Every row visited while halving the way between pairs of rows that the model answers differently.

    A classifier's boundary is where its label changes; for numbers, where the answer becomes nearer to the other end's,
    which finds the steps of trees.

    Args:
        model: the one whose boundaries are meant.
        signature: its inputs.
        rows: where to start, shape (n, features).

    Raises:
        Exception: whatever the model raises.
    """
    outputs = model.predict(rows)
    pairs = _pairs(outputs)
    if not pairs:
        return []
    ends = [list(rows[one]) for one, _ in pairs], [list(rows[other]) for _, other in pairs]
    targets = _answers(outputs)[[one for one, _ in pairs]], _answers(outputs)[[other for _, other in pairs]]
    visited: list[list[Value]] = []
    is_sure = outputs.probabilities is not None or outputs.class_numbers is None
    for _ in range(_ROUNDS if is_sure else _ROUNDS_WITHOUT_PROBABILITIES):
        middles = [_between(one, other, signature.inputs) for one, other in zip(*ends, strict=True)]
        visited.extend(middles)
        answers = _answers(model.predict(middles))
        nearer = _distance(answers, targets[0]) < _distance(answers, targets[1])
        for place, (middle, is_first) in enumerate(zip(middles, nearer.tolist(), strict=True)):
            ends[0 if is_first else 1][place] = middle
    return visited


def unknown_rows(signature: Signature, rows: Rows) -> list[list[Value]]:
    """The first row with a category that no encoder has seen, one for each feature of categories."""
    made = []
    for place, feature in enumerate(signature.inputs):
        if feature.type == "string" or (feature.categories and feature.type != "boolean"):
            row = list(rows[0])
            numbers = [one for one in feature.categories or () if not isinstance(one, str)]
            row[place] = _UNKNOWN if feature.type == "string" else max(numbers) + 1
            made.append(row)
    return made


def _column(feature: Feature, seen: Sequence[Value], chance: np.random.Generator) -> list[Value]:
    if feature.type in {"string", "boolean"} or feature.categories:
        known = [value for value in dict.fromkeys([*seen, *(feature.categories or ())]) if value is not None]
        drawn: list[Value] = [known[place] for place in chance.integers(0, len(known), _SPREAD)] if known else [None]
        drawn *= _SPREAD // len(drawn)
    else:
        low, high = _range(feature, [float(value) for value in seen if value is not None])
        numbers = chance.uniform(low, high, _SPREAD)
        drawn = [round(number) for number in numbers.tolist()] if feature.type == "integer" else numbers.tolist()
    if not feature.nullable:
        return drawn
    missing = (chance.random(_SPREAD) < _NULL_CHANCE).tolist()
    return [None if gone else value for gone, value in zip(missing, drawn, strict=True)]


def _range(feature: Feature, seen: list[float]) -> tuple[float, float]:
    low, high = feature.minimum, feature.maximum
    low = min(seen, default=0.0) if low is None else low
    high = max(seen, default=1.0) if high is None else high
    # One row says nothing about a range.
    return (low, high) if low < high else (low - max(1.0, abs(low)), low + max(1.0, abs(low)))


def _pairs(outputs: Outputs) -> list[tuple[int, int]]:
    answers = _answers(outputs)
    order = np.random.default_rng(1).permutation(len(outputs)).tolist()
    found: list[tuple[int, int]] = []
    for step in range(1, len(order)):
        for one, other in zip(order, order[step:] + order[:step], strict=True):
            if np.any(answers[one] != answers[other]):
                found.append((one, other))
            if len(found) == _PAIRS:
                return found
        if step > _PAIRS:
            break
    return found


def _answers(outputs: Outputs) -> Any:
    numbers = np.asarray(outputs.class_numbers if outputs.class_numbers is not None else outputs.predictions)
    return numbers.reshape(len(outputs), -1)


def _distance(answers: Any, targets: Any) -> Any:
    # Classes have no distance: a third class counts as the second end.
    if answers.dtype.kind in "iu":
        return (answers != targets).any(axis=1).astype(float)
    return np.abs(answers - targets).sum(axis=1)


def _between(one: Sequence[Value], other: Sequence[Value], inputs: Sequence[Feature]) -> list[Value]:
    return [
        (first + second) / 2
        if feature.type == "number"
        and isinstance(first, int | float)
        and isinstance(second, int | float)
        and not feature.categories
        else first
        for first, second, feature in zip(one, other, inputs, strict=True)
    ]
