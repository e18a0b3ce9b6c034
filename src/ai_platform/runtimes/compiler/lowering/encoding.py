"""Steps that tell values apart: encoders, and imputers of texts. The library itself is asked what becomes of each."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import (
    Coded,
    Column,
    Columns,
    Inputs,
    Number,
    Raw,
    columns_of,
    looked_up_numbers,
)
from ai_platform.runtimes.compiler.lowering.graph import Unsupported
from ai_platform.runtimes.compiler.lowering.rules import transforms


@transforms("sklearn:OneHotEncoder")
def _one_hot(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    widths = [int(width) for width in step._n_features_outs]  # noqa: SLF001  # it has no public name
    return _encoded(step, inputs, columns, widths)


@transforms("sklearn:OrdinalEncoder")
def _ordinal(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    return _encoded(step, inputs, columns, [1] * len(columns))


@transforms("sklearn:TargetEncoder")
def _target(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    width = len(step.classes_) if step.target_type_ == "multiclass" else 1
    return _encoded(step, inputs, columns, [width] * len(columns))


def _encoded(step: Any, inputs: Inputs, columns: Columns, widths: list[int]) -> Columns:
    coded = [
        _as_coded(inputs, column, categories) for column, categories in zip(columns, step.categories_, strict=True)
    ]
    tables = _tables(step, inputs, coded, [categories[:1] for categories in step.categories_], widths)
    if all(width == 1 for width in widths):
        return columns_of(looked_up_numbers(inputs, coded, [table[:, 0] for table in tables]))
    if all(((table == 0) | (table == 1)).all() and (table.sum(axis=1) <= 1).all() for table in tables):
        return _indicators(inputs, coded, tables)
    return [
        Number(looked_up_numbers(inputs, [one], [table[:, place]]), 0)
        for one, table in zip(coded, tables, strict=True)
        for place in range(table.shape[1])
    ]


def _indicators(inputs: Inputs, coded: list[Coded], tables: list[Any]) -> Columns:
    """Columns of zeros and ones: which of them is one, and whether it is this one."""
    graph = inputs.graph
    one = [np.where(table.any(axis=1), table.argmax(axis=1), -1) for table in tables]
    which = looked_up_numbers(inputs, coded, one)
    sources = [place for place, table in enumerate(tables) for _ in range(table.shape[1])]
    numbers = [number for table in tables for number in range(table.shape[1])]
    spread = graph.columns(which, sources)
    return columns_of(graph.cast(graph.with_row("Equal", spread, numbers)))


def _as_coded(inputs: Inputs, column: Column | None, categories: Any) -> Coded:
    if isinstance(column, Coded):
        inputs.coded(column.place, [_plain(value) for value in categories if _suits(inputs, column.place, value)])
        return column
    if isinstance(column, Raw):
        return inputs.coded(column.place, [_plain(value) for value in categories if not _is_missing(value)])
    raise Unsupported("numbers that were computed are encoded as categories")


def _suits(inputs: Inputs, place: int, value: Any) -> bool:
    """Whether an input could have the value, which a step before may have made."""
    if _is_missing(value):
        return False
    return isinstance(value, str) == (inputs.signature.inputs[place].type == "string")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


@dataclass(slots=True)
class _Asked:
    """One column's values, given to a step beside one value of each other column."""

    step: Any
    names: list[Any]
    place: int
    others: list[Any]

    def of(self, values: Any) -> Any:
        """What the step makes of the values, shape (values, outputs).

        Raises:
            ValueError: it refuses one of them.
        """
        import pandas as pd

        frame = pd.DataFrame({
            name: pd.Series(values if place == self.place else np.repeat(other, len(values)))
            for place, (name, other) in enumerate(zip(self.names, self.others, strict=True))
        })  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = frame if hasattr(self.step, "feature_names_in_") else frame.to_numpy(dtype=_common(frame))
            made = self.step.transform(given)
        return np.asarray(made.toarray() if hasattr(made, "toarray") else made)


def _common(frame: Any) -> Any:
    kinds = {str(kind) for kind in frame.dtypes}
    return np.float64 if kinds <= {"float64", "int64", "bool"} else object


def _tables(step: Any, inputs: Inputs, coded: list[Coded], others: list[Any], widths: list[int]) -> list[Any]:
    """For each column, what the step makes of each code: shape (codes, width)."""
    names = list(getattr(step, "feature_names_in_", range(len(coded))))
    ends = np.cumsum([0, *widths])
    return [
        _outcomes(_Asked(step, names, place, others), inputs, one)[:, ends[place] : ends[place + 1]].astype(np.float64)
        for place, one in enumerate(coded)
    ]


def _outcomes(asked: _Asked, inputs: Inputs, one: Coded) -> Any:
    """What a step makes of a column's known values, its unknown one, and its missing one; what it refuses is noted."""
    found = inputs.found
    unknown_like = one.values[-1:]
    parts = [asked.of(one.values[:-1])] if len(one.values) > 1 else []
    parts.append(_or_refused(asked, unknown_like, found.refused, one.place, parts))
    if len(one.missing):
        parts.append(_or_refused(asked, one.missing, found.refused_missing, one.place, parts))
    return np.concatenate(parts)


def _or_refused(asked: _Asked, values: Any, refused: set[int], place: int, before: list[Any]) -> Any:
    try:
        return asked.of(values)
    except ValueError:
        refused.add(place)
        # Never read: whoever sends such a value is refused before the graph.
        return before[0][:1] if before else asked.of(asked.others[asked.place])


def filled_codes(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    """Columns of values with the missing ones filled in, by an imputer of a constant or of the most frequent value.

    Raises:
        Unsupported: a column is of computed numbers.
    """
    coded = []
    for column in columns:
        if not isinstance(column, Raw | Coded):
            raise Unsupported("numbers that were computed are filled in beside texts")
        known = [False, True] if inputs.signature.inputs[column.place].type == "boolean" else []
        coded.append(column if isinstance(column, Coded) else inputs.coded(column.place, known))
    names = list(getattr(step, "feature_names_in_", range(len(coded))))
    others = [np.array([value], dtype=object) for value in step.statistics_]
    made: Columns = []
    for place, one in enumerate(coded):
        asked = _Asked(step, names, place, others)
        missing = asked.of(one.missing.astype(object))[:, place] if len(one.missing) else one.missing
        made.append(Coded(one.place, asked.of(one.values.astype(object))[:, place], missing))
    return made


def missing_flags(inputs: Inputs, columns: Columns) -> Columns:
    """For each column another, 1 where its value is missing and else 0."""
    graph = inputs.graph
    made: Columns = []
    for column in columns:
        found = _materialized(inputs, column)
        if isinstance(found, Number):
            flag = graph.cast(graph.each("IsNaN", graph.columns(found.tensor, [found.place])))
        else:
            flags = [float(_is_missing(value)) for value in [*found.values.tolist(), *found.missing.tolist()]]
            flag = looked_up_numbers(inputs, [found], [np.array(flags)])
        made.append(Number(flag, 0))
    return made


def _materialized(inputs: Inputs, column: Column) -> Number | Coded:
    if not isinstance(column, Raw):
        return column
    is_text = inputs.signature.inputs[column.place].type == "string"
    return inputs.coded(column.place, []) if is_text else inputs.number(column.place)
