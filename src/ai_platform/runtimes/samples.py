"""Some rows of training data, read for what they show of a model's inputs: types, ranges, categories, an example."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ai_platform.runtimes.estimator_inputs import MOST_CATEGORIES
from ai_platform.runtimes.runtime import Value
from ai_platform.runtimes.signature import Feature, FeatureType

if TYPE_CHECKING:
    import pandas as pd

# Rows beyond these change no range that anybody looks at, and cost memory.
MOST_ROWS = 100_000
MOST_KEPT = 200
# A column with fewer repetitions holds texts or identifiers: persons' names have no place in a documentation.
LEAST_REPETITION = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample table.

    Attributes:
        inputs: one feature a column, in the order of the columns; the target is among them if the table has it.
        rows: at most 200, spread over the table, values in that order: numbers, strings, booleans, None where missing.
    """

    inputs: tuple[Feature, ...]
    rows: list[list[Value]]


def read(path: Path) -> Sample:
    """Read a sample file: JSON lines (`.jsonl`, `.ndjson`, `.json`: one object a line), and CSV for all else.

    Raises:
        ValueError: it cannot be read as a table, or holds what JSON has no value for.
    """
    import pandas as pd

    try:
        if path.suffix.lower() in {".jsonl", ".ndjson", ".json"}:
            with path.open(encoding="utf-8") as file:
                records = [json.loads(line) for line, _ in zip(file, range(MOST_ROWS), strict=False) if line.strip()]
            frame = pd.DataFrame.from_records(records)
        else:
            frame = pd.read_csv(path, nrows=MOST_ROWS)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read as a table: {type(error).__name__}") from error
    return from_frame(frame)


def from_frame(frame: "pd.DataFrame") -> Sample:
    """Read a DataFrame.

    Raises:
        ValueError: it has no rows or columns, or holds what JSON has no value for.
    """
    if frame.empty:
        raise ValueError("the sample has no rows")
    inputs = tuple(_feature(str(name), frame.iloc[:, number]) for number, name in enumerate(frame.columns))
    step = max(1, -(-len(frame) // MOST_KEPT))
    kept = frame.iloc[::step]
    columns = [_values(kept.iloc[:, number], feature.type) for number, feature in enumerate(inputs)]
    return Sample(inputs, [list(row) for row in zip(*columns, strict=True)])


def _feature(name: str, column: "pd.Series[Any]") -> Feature:
    kind = _type(name, column)
    present = column.dropna()
    feature = Feature(name=name, type=kind, nullable=bool(column.isna().any()))
    if present.empty:
        return feature
    if kind in {"number", "integer"}:
        ordered = present.sort_values()
        middle = ordered.iloc[(len(ordered) - 1) // 2]
        low, high = (float(ordered.iloc[place]) for place in (0, -1))
        return msgspec.structs.replace(feature, minimum=low, maximum=high, example=_value(middle, kind))
    counts = present.value_counts()
    example = _value(counts.index[0], kind)
    categories = None
    if _is_categorical(column) or (len(counts) <= MOST_CATEGORIES and len(present) >= LEAST_REPETITION * len(counts)):
        categories = tuple(sorted(str(value) if kind == "string" else bool(value) for value in counts.index))
    return msgspec.structs.replace(feature, example=example, categories=categories)


def _type(name: str, column: "pd.Series[Any]") -> FeatureType:
    from pandas.api.types import infer_dtype

    values = column.astype(column.cat.categories.dtype) if _is_categorical(column) else column
    found = infer_dtype(values, skipna=True)
    types: dict[str, FeatureType] = {
        "string": "string", "boolean": "boolean", "integer": "integer", "integer-na": "integer", "floating": "number",
        "mixed-integer-float": "number", "decimal": "number", "empty": "number",
    }  # fmt: skip
    if found not in types:
        raise ValueError(
            f"column {name!r} of the sample holds {found} values; a model's inputs are numbers, strings and booleans"
        )
    return types[found]


def _is_categorical(column: "pd.Series[Any]") -> bool:
    import pandas as pd

    return isinstance(column.dtype, pd.CategoricalDtype)


def _values(column: "pd.Series[Any]", kind: FeatureType) -> list[Value]:
    absent = column.isna().tolist()
    return [None if gone else _value(value, kind) for value, gone in zip(column.tolist(), absent, strict=True)]


def _value(value: Any, kind: FeatureType) -> Value:
    if kind == "integer":
        return int(value)
    if kind == "number":
        return float(value)
    return bool(value) if kind == "boolean" else str(value)
