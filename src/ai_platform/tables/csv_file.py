"""CSV: delimiter, decimal mark and quotation told from the first rows and from the names that are expected."""

import contextlib
import csv
import itertools
import re
from collections.abc import Collection, Iterator
from typing import TextIO

from ai_platform.tables.names import folded
from ai_platform.tables.source import HEAD_BYTES, Source
from ai_platform.tables.table import BrokenRow, Row, Table, TableUnreadable

_DELIMITERS = (",", ";", "\t", "|")
_SHOWN = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_LARGEST_CELL = 10_000_000  # characters; a quotation mark that is never closed would otherwise fill the memory
_EXCEL = re.compile(r"sep=(.)\s*\Z")
# A comma in a number: `0,5` and `3,14` can only be decimals, and `1,234` may be a thousand.
_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


def table(found: Source, text: TextIO, expected: Collection[str], decimal: str | None) -> Table:
    """A table of text cells.

    Raises:
        TableUnreadable: it has no line of names, or its decimal mark cannot be told.
    """
    csv.field_size_limit(_LARGEST_CELL)
    head = _head(found, text)
    marked = _EXCEL.match(head[0]) if head else None
    lines = head[1:] if marked else head
    delimiter = marked[1] if marked else _delimiter(lines, expected)
    shown = _records(lines, delimiter)
    if not shown:
        raise TableUnreadable(f"{found.name} has no line of names")
    remarks = [] if delimiter == "," else [f"cells are separated by {_SHOWN.get(delimiter, repr(delimiter))}"]
    text.seek(0)
    rows = _rows(found, text, delimiter, skip=1 if marked else 0)
    names = next(rows)
    assert isinstance(names, Row)
    told = decimal or _decimal(shown[1:])
    if told == "," and decimal is None:
        remarks.append("numbers are written with a decimal comma")
    return Table("CSV", list(names.cells), is_text=True, rows=_whole(rows, len(names.cells)), decimal=told,
                 remarks=remarks)  # fmt: skip


def _head(found: Source, text: TextIO) -> list[str]:
    with found.reading():
        content = text.read(HEAD_BYTES)
    lines = content.splitlines(keepends=True)
    # The last line may be cut in the middle.
    return lines[:-1] if len(content) == HEAD_BYTES and len(lines) > 1 else lines


def _delimiter(lines: list[str], expected: Collection[str]) -> str:
    wanted = {folded(name) for name in expected}

    def fitness(delimiter: str) -> tuple[int, float, int]:
        rows = _records(lines, delimiter)
        if not rows:
            return 0, 0.0, 0
        width = len(rows[0])
        known = len(wanted & {folded(name) for name in rows[0]})
        return known, sum(len(row) == width for row in rows) / len(rows) if width > 1 else 0.0, width

    return max(_DELIMITERS, key=fitness)


def _records(lines: list[str], delimiter: str) -> list[list[str]]:
    """The records of some first lines, as far as they can be read."""
    records: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        records.extend(row for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row))
    return records


def _decimal(rows: list[list[str]]) -> str:
    cells = [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if _COMMA.fullmatch(cell)]
    if not commas or any(_POINT.fullmatch(cell) for cell in cells):
        return "."
    return "." if all(_THOUSANDS.fullmatch(cell) for cell in commas) else ","


def _rows(found: Source, text: TextIO, delimiter: str, skip: int) -> Iterator[Row | BrokenRow]:
    """Records that are not blank; the names first, which are always a row."""
    reader = csv.reader(itertools.islice(text, skip, None), delimiter=delimiter, strict=True)
    is_first = True
    while True:
        place = f"line {reader.line_num + skip + 1}"
        try:
            with found.reading():
                cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if is_first:
                raise TableUnreadable(f"the line of names of {found.name} cannot be read: {error}") from error
            yield BrokenRow(place, f"cannot be read as CSV: {error}")
            continue
        if cells:
            is_first = False
            yield Row(place, cells)


def _whole(rows: Iterator[Row | BrokenRow], width: int) -> Iterator[Row | BrokenRow]:
    for row in rows:
        if isinstance(row, BrokenRow) or len(row.cells) == width:
            yield row
        elif len(row.cells) > width and not any(row.cells[width:]):
            yield Row(row.place, row.cells[:width])
        else:
            cells = len(row.cells)
            yield BrokenRow(row.place, f"has {cells} cell{'s' * (cells != 1)}, and there are {width} names")
