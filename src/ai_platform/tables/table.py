"""A table in a file: names, and rows one after another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai_platform.errors import PlatformError

ABSENT: Any = object()
"""What stands in a row of JSON for a name that the row does not have."""


class TableUnreadable(PlatformError):
    """A file is no table that can be read; the sentence says what to do."""

    code = "table_unreadable"


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        place: where it stands, for people (`line 3`, `row 3`).
        cells: as many as the table has names; of a text file strings, of any other JSON values or `ABSENT`.
    """

    place: str
    cells: Sequence[Any]


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that cannot be read, while others can.

    Attributes:
        place: as of a row.
        why: half a sentence, without the content.
    """

    place: str
    why: str


@dataclass(slots=True)
class Table:
    """An open table. Memory does not grow with its rows.

    Attributes:
        kind: of file, for people (`CSV`).
        names: of the columns, as they are written.
        is_text: whether cells are text, to be typed by who knows the columns.
        rows: to be read once.
        position: how many bytes of the file have been read.
        size: of the file in bytes; None when it is not known.
        decimal: what stands between the whole and the rest in a number of a text file.
        remarks: what was assumed, each a sentence to be said.
    """

    kind: str
    names: list[str]
    is_text: bool
    rows: Iterator[Row | BrokenRow]
    position: Callable[[], int] = lambda: 0
    size: int | None = None
    decimal: str = "."
    remarks: list[str] = field(default_factory=list)
