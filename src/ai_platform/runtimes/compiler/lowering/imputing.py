"""Missing values: filled in, and said to have been missing."""

from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import Coded, Columns, Inputs, Raw, columns_of, tensor_of
from ai_platform.runtimes.compiler.lowering.encoding import filled_codes, missing_flags
from ai_platform.runtimes.compiler.lowering.graph import Unsupported
from ai_platform.runtimes.compiler.lowering.rules import transforms


@transforms("sklearn:SimpleImputer")
def _simple(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    _require_usual(step)
    indicated = [] if step.indicator_ is None else [columns[place] for place in step.indicator_.features_]
    flags = missing_flags(inputs, indicated)
    return _filled(step, inputs, columns) + flags


def _require_usual(step: Any) -> None:
    missing = step.missing_values
    if not (missing is None or (isinstance(missing, float) and np.isnan(missing))):
        raise Unsupported(f"{type(step).__name__} takes {missing!r} for missing")


def _filled(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    statistics = step.statistics_
    if statistics.dtype.kind == "O" and all(isinstance(one, int | float) for one in statistics.tolist()):
        statistics = statistics.astype(np.float64)  # a constant that is a number
    if statistics.dtype.kind != "f" or any(_is_text(inputs, column) for column in columns):
        return filled_codes(step, inputs, columns)
    kept = np.ones(len(columns), bool) if step.keep_empty_features else ~np.isnan(statistics)
    graph = inputs.graph
    tensor = tensor_of(inputs, [column for column, stays in zip(columns, kept.tolist(), strict=True) if stays])
    filled = graph.where(graph.each("IsNaN", tensor), graph.row(statistics[kept]), tensor.name, tensor.width)
    return columns_of(filled)


def _is_text(inputs: Inputs, column: Any) -> bool:
    return isinstance(column, Coded) or (
        isinstance(column, Raw) and inputs.signature.inputs[column.place].type == "string"
    )


@transforms("sklearn:MissingIndicator")
def _indicator(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    _require_usual(step)
    if step.error_on_new and step.features == "missing-only":
        raise Unsupported("MissingIndicator refuses what is missing in other columns than in training")
    return missing_flags(inputs, [columns[place] for place in step.features_])
