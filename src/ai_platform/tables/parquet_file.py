"""Parquet, where pyarrow is installed (the extra `parquet`, which `make` brings along)."""

import datetime as dt
import decimal
from collections.abc import Iterator
from typing import Any

from ai_platform.tables.source import Source
from ai_platform.tables.table import BrokenRow, Row, Table, TableUnreadable

_BATCH_ROWS = 1_000


def table(found: Source) -> Table:
    """A table of JSON values, batch by batch.

    Raises:
        TableUnreadable: pyarrow is not installed, or the file is damaged.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise TableUnreadable(
            f"{found.name} is a Parquet file, which needs pyarrow: pip install 'ai-platform[parquet]', or save it"
            " as CSV or JSON lines"
        ) from None
    try:
        opened = parquet.ParquetFile(found.opened())
        names = [str(name) for name in opened.schema_arrow.names]
    except Exception as error:  # whatever the library makes of damaged bytes
        raise TableUnreadable(f"{found.name} is a Parquet file, and damaged or cut short") from error
    return Table("Parquet", names, is_text=False, rows=_rows(found, opened))


def _rows(found: Source, opened: Any) -> Iterator[Row | BrokenRow]:
    number = 0
    batches = opened.iter_batches(batch_size=_BATCH_ROWS)
    while True:
        try:
            columns = next(batches).to_pydict()
        except StopIteration:
            return
        except Exception as error:  # as above
            raise TableUnreadable(f"{found.name} is damaged after row {number}") from error
        for values in zip(*columns.values(), strict=True):
            number += 1
            yield Row(f"row {number}", [_plain(value) for value in values])


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, float) and value != value:  # noqa: PLR0124  # NaN is a missing number
        return None
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, dt.date | dt.datetime | dt.time) else value
