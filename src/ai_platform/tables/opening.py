"""Opening a table: which kind of file it is shows in its content, never in its name."""

import contextlib
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ai_platform.tables import csv_file, json_file, parquet_file
from ai_platform.tables.encodings import encoding_of
from ai_platform.tables.source import Source, source
from ai_platform.tables.table import Table, TableUnreadable

_ARRAY = re.compile(r"\s*\[\s*(?:[\[{\]\"\d-]|\Z)")
_OBJECT = re.compile(r"\s*\{\s*(?:[\"}]|\Z)")
_MOST_CONTROLS = 0.05


@contextlib.contextmanager
def open_table(path: Path, expected: Collection[str] = (), decimal: str | None = None) -> Iterator[Table]:
    """Open a file as a table: CSV, JSON lines, a JSON array of objects, or Parquet; each also compressed by gzip.

    Args:
        path: the file.
        expected: names that some of its columns should have; they tell which delimiter a CSV has.
        decimal: what stands between the whole and the rest in a number; None to tell from the rows.

    Raises:
        TableUnreadable: it is none, cannot be read, or is damaged. Rows raise it too while they are read.
    """
    with source(path) as found, contextlib.ExitStack() as stack:
        if found.head.startswith(b"PAR1"):
            table = parquet_file.table(found)
        else:
            table = _of_text(found, expected, decimal, stack)
        table.position = found.position
        table.size = found.size
        yield table


def _of_text(found: Source, expected: Collection[str], decimal: str | None, stack: contextlib.ExitStack) -> Table:
    codec, remarks = encoding_of(found)
    with found.reading():
        text = stack.enter_context(io.TextIOWrapper(found.opened(), codec, newline=""))
        head = text.read(io.DEFAULT_BUFFER_SIZE)
        _refuse_binary(found.name, head)
        text.seek(0)
    if _ARRAY.match(head):
        table = json_file.array_table(found, text)
    elif _OBJECT.match(head):
        table = json_file.lines_table(found, text)
    else:
        table = csv_file.table(found, text, expected, decimal)
    table.remarks = [*remarks, *table.remarks]
    return table


def _refuse_binary(name: str, head: str) -> None:
    controls = sum(1 for character in head if character < " " and character not in "\t\r\n\f\0")
    if controls > _MOST_CONTROLS * len(head) or head.count("\0") > _MOST_CONTROLS * len(head):
        raise TableUnreadable(f"{name} is no text; a table is CSV, JSON lines, a JSON array or Parquet")
