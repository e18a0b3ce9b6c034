"""Rows as a fitted scikit-learn estimator takes them: an array, or a DataFrame as in training."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import Rows, Value
from ai_platform.runtimes.base.sample_columns import places_of
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.sklearn.inputs import KnownInput, known_inputs, takes_text

Table = Callable[[Rows], Any]

# What reads columns by name, or hands a table to code that might.
_BY_NAME = frozenset({"ColumnTransformer", "FunctionTransformer"})


def table_for(estimator: Any, signature: Signature) -> Table:
    """What makes the estimator's argument of rows that are in the order of the signature.

    Raises:
        ValueError: the signature is not this estimator's.
    """
    known = known_inputs(estimator)
    if known is None and takes_text(estimator):
        if len(signature.inputs) != 1:
            raise ValueError(f"the signature has {len(signature.inputs)} inputs, and the model takes one text")
        return _texts
    if known is None:
        return _array_of(signature.inputs, [KnownInput()] * len(signature.inputs))
    used = [one for one in known if one.used or one.name is None]
    if len(used) != len(signature.inputs):
        raise ValueError(f"the signature has {len(signature.inputs)} inputs, and the model takes {len(used)}")
    if not hasattr(estimator, "feature_names_in_"):
        return _array_of(signature.inputs, used)
    places = places_of([feature.name for feature in signature.inputs], [one.name or "" for one in used])
    strange = next(
        (feature.name for feature, place in zip(signature.inputs, places, strict=True) if place is None), None
    )
    if strange is not None:
        raise ValueError(f"the signature has an input {strange!r}, which the model does not know")
    return _Frame(signature.inputs, [used[place] for place in places if place is not None])


def forget_names(estimator: Any, signature: Signature) -> None:
    """Let an estimator of numbers take arrays, which are faster than DataFrames, where the names change nothing.

    scikit-learn would warn at each prediction that an array has no names, so they are removed. The estimator must be
    the caller's own.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or [feature.name for feature in signature.inputs] != list(names):
        return
    if any(feature.type == "string" for feature in signature.inputs):
        return
    parts = list(parts_of(estimator))
    if all(_takes_arrays(part) for part in parts):
        for part in parts:
            vars(part).pop("feature_names_in_", None)


def parts_of(estimator: Any) -> Iterator[Any]:
    """An estimator and all estimators inside it."""
    from sklearn.base import BaseEstimator

    waiting, seen = [estimator], set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, BaseEstimator):
            if id(found) not in seen:
                seen.add(id(found))
                yield found
                waiting.extend(vars(found).values())
        elif isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list | tuple) or (isinstance(found, np.ndarray) and found.dtype == object):
            waiting.extend(found)


def _takes_arrays(part: Any) -> bool:
    kind = type(part)
    configured = hasattr(part, "_sklearn_output_config")
    return kind.__module__.startswith("sklearn.") and kind.__name__ not in _BY_NAME and not configured


def _texts(rows: Rows) -> list[Any]:
    return [row[0] for row in rows]


def _array_of(inputs: Sequence[Feature], known: Sequence[KnownInput]) -> Table:
    if all(feature.type != "string" for feature in inputs):
        return lambda rows: np.asarray(rows, dtype=np.float64)  # None becomes NaN
    absent = [None if one.missing_is_none else np.nan for one in known]

    def table(rows: Rows) -> Any:
        filled = [
            [missing if value is None else value for value, missing in zip(row, absent, strict=True)] for row in rows
        ]
        return np.array(filled, dtype=object)

    return table


class _Frame:
    """A DataFrame with the names and types of training.

    Args:
        inputs: the signature's.
        known: what the estimator knows of each.
    """

    def __init__(self, inputs: Sequence[Feature], known: Sequence[KnownInput]) -> None:
        # Here, so that it costs the load and not the first prediction.
        import pandas as pd

        self._frame, self._series = pd.DataFrame, pd.Series
        self._inputs = inputs
        self._known = known
        self._absent = [None if one.missing_is_none else np.nan for one in known]

    def __call__(self, rows: Rows) -> Any:
        columns = zip(self._inputs, self._known, self._absent, zip(*rows, strict=True), strict=True)
        return self._frame({
            known.name: self._column(feature, known, absent, values) for feature, known, absent, values in columns
        })  # fmt: skip

    def _column(self, feature: Feature, known: KnownInput, absent: float | None, values: tuple[Value, ...]) -> Any:
        if feature.type == "number" or (feature.type == "integer" and None in values):
            return np.array(values, dtype=np.float64)
        if feature.type == "integer":
            return np.array(values, dtype=np.int64)
        if feature.type == "boolean" and None not in values:
            return np.array(values, dtype=np.bool_)
        if feature.type == "boolean" and known.categories is None:
            return np.array(values, dtype=np.float64)  # what pandas' own True, False and NaN become in an estimator
        filled = [absent if value is None else value for value in values]
        # Said explicitly, because pandas would make a type of its own of strings.
        return self._series(filled, dtype=object)
