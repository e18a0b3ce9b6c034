"""Columns on their way through a fitted estimator, each with the way back to the model's own input."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Raw = Callable[[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column at some step.

    Attributes:
        place: of the model's input that it comes from.
        raw: values of this column, shape (n,), to values of that input.
    """

    place: int
    raw: Raw


Columns = list[Column | None]
"""None where a column comes from several inputs, or where there is no way back."""


def inputs(count: int) -> Columns:
    """The columns that the model is given."""
    return [Column(place, lambda values: np.asarray(values).tolist()) for place in range(count)]


def after(step: Any, columns: Columns) -> Columns | None:
    """The columns that a fitted transformer makes; None when their number is not known.

    Args:
        step: a fitted transformer without others inside it.
        columns: what it was given.
    """
    if vars(step).get("func", step) is None:  # a FunctionTransformer that changes nothing, as of "passthrough"
        return list(columns)
    if hasattr(step, "get_support"):
        return [columns[place] for place in np.flatnonzero(step.get_support())]
    made = next((make(step, columns) for kind, make in _MAKERS if hasattr(step, kind)), None)
    if made is None and _is_elementwise(step):
        made = [_inverse(step, columns, place) for place in range(len(columns))]
    width = _width(step)
    if made is not None and width is not None and hasattr(step, "indicator_"):
        made += [None] * (width - len(made))  # what says whether a value was missing
    return made if made is not None and width in {None, len(made)} else None if width is None else [None] * width


def inner_steps(estimator: Any, columns: Columns) -> Iterator[tuple[Any, Columns]]:
    """Estimators side by side inside one, each with the columns that it was given."""
    if hasattr(estimator, "transformers_"):
        for name, transformer, _columns in estimator.transformers_:
            # Public attributes hold what the user wrote: names, slices, masks; this one holds numbers.
            places = estimator._transformer_to_input_indices[name]  # noqa: SLF001
            if not isinstance(transformer, str) or transformer != "drop":
                yield transformer, [columns[place] for place in places]
    elif hasattr(estimator, "transformer_list"):
        yield from ((inner, columns) for _name, inner in estimator.transformer_list if inner != "drop")
    elif hasattr(estimator, "estimators_features_"):
        for inner, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
            yield inner, [columns[place] for place in features]
    else:
        yield from ((inner, columns) for inner in _wrapped(estimator))


def _wrapped(estimator: Any) -> Iterable[Any]:
    found = []
    for name in ("best_estimator_", "estimator_", "regressor_", "base_estimator_"):
        found += [vars(estimator)[name]] if vars(estimator).get(name) is not None else []
    found += [inner.estimator for inner in vars(estimator).get("calibrated_classifiers_", [])]
    own = vars(estimator).get("estimators_", [])
    return [*found, *(inner for inner in np.ravel(np.array(own, dtype=object)).tolist() if hasattr(inner, "fit"))]


def _width(step: Any) -> int | None:
    """How many columns it makes, as its names tell; they are not made for steps that cost too much to ask."""
    try:
        return len(step.get_feature_names_out())
    except Exception:  # noqa: BLE001  # each transformer has reasons of its own
        return None


def _is_elementwise(step: Any) -> bool:
    from sklearn.base import OneToOneFeatureMixin

    return isinstance(step, OneToOneFeatureMixin) and hasattr(step, "inverse_transform")


def _inverse(step: Any, columns: Columns, place: int) -> Column | None:
    column = columns[place]
    if column is None:
        return None

    def raw(values: Any) -> list[Any]:
        table = np.zeros((len(values), len(columns)))
        table[:, place] = values
        return column.raw(np.asarray(step.inverse_transform(table), dtype=float)[:, place])

    return Column(column.place, raw)


def _imputed(step: Any, columns: Columns) -> Columns:
    kept = np.array([column is not None for column in columns])
    statistics = getattr(step, "statistics_", None)
    if statistics is not None and statistics.dtype.kind == "f" and not step.keep_empty_features:
        kept &= ~np.isnan(statistics)
        return [column for column, stays in zip(columns, kept.tolist(), strict=True) if stays]
    return list(columns)


def _one_hot(step: Any, columns: Columns) -> Columns:
    made: Columns = []
    dropped = getattr(step, "drop_idx_", None)
    if dropped is not None or getattr(step, "infrequent_categories_", None) is not None:
        return [None] * (_width(step) or 0)
    for column, categories in zip(columns, step.categories_, strict=True):
        for number in range(len(categories)):
            made.append(None if column is None else Column(column.place, _chosen(column, categories, number)))
    return made


def _chosen(column: Column, categories: Any, number: int) -> Raw:
    yes = categories[number]
    no = categories[(number + 1) % len(categories)]
    return lambda values: column.raw(np.array([yes if value > 0.5 else no for value in values], dtype=object))  # noqa: PLR2004


def _ordinal(step: Any, columns: Columns) -> Columns:
    def raw(column: Column, categories: Any) -> Raw:
        last = len(categories) - 1
        return lambda values: column.raw(categories[np.clip(np.nan_to_num(np.ceil(values)), 0, last).astype(int)])

    return [
        None if column is None else Column(column.place, raw(column, categories))
        for column, categories in zip(columns, step.categories_, strict=True)
    ]


def _encoded(step: Any, columns: Columns) -> Columns:
    return _one_hot(step, columns) if hasattr(step, "drop_idx_") else _ordinal(step, columns)


def _powers(step: Any, columns: Columns) -> Columns:
    return [
        columns[int(powers.argmax())] if powers.sum() == 1 else None
        for powers in np.asarray(step.powers_)
    ]  # fmt: skip


_MAKERS: tuple[tuple[str, Callable[[Any, Columns], Columns]], ...] = (
    ("statistics_", _imputed),
    ("powers_", _powers),
    ("categories_", _encoded),
)
