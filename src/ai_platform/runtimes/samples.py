"""Some rows of training data, read for what they show of a model's inputs: types, ranges, categories, an example."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ai_platform.runtimes.base.cells import MISSING_WORDS, NUMBER
from ai_platform.runtimes.base.runtime import OtherReadings, Value
from ai_platform.runtimes.base.signature import Feature, FeatureType
from ai_platform.runtimes.sklearn.inputs import MOST_CATEGORIES
from ai_platform.tables.opening import open_table
from ai_platform.tables.table import ABSENT, BrokenRow, Row, Table, TableUnreadable

if TYPE_CHECKING:
    import pandas as pd

# Rows beyond these change no range that anybody looks at, and cost memory.
MOST_ROWS = 100_000
MOST_KEPT = 200
# A column with fewer repetitions holds texts or identifiers: persons' names have no place in a documentation.
LEAST_REPETITION = 2
_TRUTH = frozenset({"true", "false"})


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample table.

    Attributes:
        inputs: one feature a column, in the order of the columns; the target is among them if the table has it.
        rows: at most 200, spread over the table, values in that order: numbers, strings, booleans, None where missing;
            where there are `others`, cells as they are written, None where empty.
        others: each column's other readings, where cells are text, which the model has to type.
    """

    inputs: tuple[Feature, ...]
    rows: list[list[Value]]
    others: tuple[OtherReadings, ...] | None = None


def read(path: Path) -> Sample:
    """Read a sample file: CSV, JSON lines, a JSON array of objects, or Parquet, whatever its name is.

    Raises:
        ValueError: it cannot be read as a table, or holds what JSON has no value for.
    """
    import pandas as pd

    try:
        with open_table(path) as table:
            rows = [row.cells for row in _readable(path, table)]
            if not rows:
                raise ValueError(f"the sample {path.name} has no rows")
            if table.is_text:
                return _from_text(table, rows)
            records = [[None if value is ABSENT else value for value in row] for row in rows]
            return from_frame(pd.DataFrame(records, columns=table.names))
    except TableUnreadable as error:
        raise ValueError(f"the sample cannot be read as a table: {error.detail}") from error
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} cannot be read as a table: {type(error).__name__}") from error


def _readable(path: Path, table: Table) -> list[Row]:
    rows = []
    for row in itertools.islice(table.rows, MOST_ROWS):
        if isinstance(row, BrokenRow):
            raise ValueError(f"the sample cannot be read as a table: {row.place} of {path.name} {row.why}")  # noqa: TRY004  # of the file
        rows.append(row)
    return rows


def _from_text(table: Table, rows: list[Any]) -> Sample:
    """Each column in its likeliest reading, and in others, because the model alone knows which is right."""
    readings = [_readings(name.strip(), cells, table.decimal) for name, cells in zip(
        table.names, zip(*rows, strict=True), strict=True
    )]  # fmt: skip
    inputs = tuple(likeliest for likeliest, _others in readings)
    others = tuple(others for _likeliest, others in readings)
    step = max(1, -(-len(rows) // MOST_KEPT))
    kept: list[list[Value]] = [[_written(cell, table.decimal) for cell in row] for row in rows[::step]]
    return Sample(inputs, kept, others)


def _readings(name: str, cells: tuple[str, ...], decimal: str) -> tuple[Feature, OtherReadings]:
    import pandas as pd

    string = _feature(name, pd.Series([cell or None for cell in cells], dtype=object))
    present = [_written(cell.strip(), decimal) or "" for cell in cells]
    words = [None if not cell or cell.lower() in MISSING_WORDS else cell for cell in present]
    if all(word is None for word in words):
        number = Feature(name=name, nullable=True)
        return (number if all(not cell for cell in cells) else string), OtherReadings(string, number)
    if all(word is None or word.lower() in _TRUTH for word in words):
        truth = [None if word is None else word.lower() == "true" for word in words]
        return _feature(name, pd.Series(truth, dtype=object)), OtherReadings(string, None)
    if not all(word is None or NUMBER.fullmatch(word) for word in words):
        return string, OtherReadings(string, None)
    whole = None not in words and all(word is not None and word.lstrip("+-").isdecimal() for word in words)
    parse = int if whole else float
    number = _feature(name, pd.Series([None if word is None else parse(word) for word in words], dtype=object))
    is_code = any(word is not None and len(word) > 1 and word[0] == "0" and word.isdecimal() for word in words)
    return (string if is_code else number), OtherReadings(string, number)


def _written(cell: str, decimal: str) -> str | None:
    """A cell with the decimal point that all readers know; None where it is empty."""
    pointed = cell.replace(decimal, ".", 1) if decimal != "." else cell
    return (pointed if NUMBER.fullmatch(pointed.strip()) else cell) or None


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
        binary = (low, high) == (0.0, 1.0) and bool(present.isin([0, 1]).all())
        return msgspec.structs.replace(feature, minimum=low, maximum=high, example=_value(middle, kind), binary=binary)
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
