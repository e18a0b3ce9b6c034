"""JSON: one object a line, or one array of objects, read without holding the whole."""

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ai_platform.tables.source import Source
from ai_platform.tables.table import ABSENT, BrokenRow, Row, Table, TableUnreadable

# Rows whose names are the table's; a name that comes later is not read.
_NAMING_ROWS = 1_000
_PART = 262_144
_LARGEST_ROW = 64 * 1_048_576
_BLANK = " \t\r\n"

_Record = tuple[str, dict[str, Any]] | BrokenRow


class _Refused(ValueError):
    pass


def lines_table(found: Source, text: TextIO) -> Table:
    """One object a line.

    Raises:
        TableUnreadable: no line holds one.
    """
    return _table("JSON lines", found, _lines(found, text))


def array_table(found: Source, text: TextIO) -> Table:
    """One array of objects.

    Raises:
        TableUnreadable: it holds none, or is damaged.
    """
    return _table("JSON array", found, _elements(found, text))


def _table(kind: str, found: Source, records: Iterator[_Record]) -> Table:
    first = list(itertools.islice(records, _NAMING_ROWS))
    names = list(dict.fromkeys(name for one in first if not isinstance(one, BrokenRow) for name in one[1]))
    if not names:
        broken = next((one for one in first if isinstance(one, BrokenRow)), None)
        why = f"{broken.place} {broken.why}" if broken else "it holds no object"
        raise TableUnreadable(f"{found.name} is no table of JSON objects, one a row: {why}")
    table = Table(kind, names, is_text=False, rows=iter(()))
    table.rows = _aligned(itertools.chain(first, records), table)
    return table


def _aligned(records: Iterator[_Record], table: Table) -> Iterator[Row | BrokenRow]:
    known = set(table.names)
    for one in records:
        if isinstance(one, BrokenRow):
            yield one
            continue
        place, values = one
        strange = next((name for name in values if name not in known), None)
        if strange is not None:
            yield BrokenRow(place, f"has a name {strange[:64]!r} that none of the first {_NAMING_ROWS} rows has")
        else:
            yield Row(place, [values.get(name, ABSENT) for name in table.names])


def _lines(found: Source, text: TextIO) -> Iterator[_Record]:
    for number in itertools.count(1):
        with found.reading():
            line = text.readline(_LARGEST_ROW)
        if not line:
            return
        if line.strip():
            yield _record(f"line {number}", functools.partial(_DECODER.decode, line))


def _record(place: str, read: Callable[[], Any]) -> _Record:
    try:
        value = read()
    except _Refused as error:
        return BrokenRow(place, str(error))
    except (ValueError, RecursionError):
        return BrokenRow(place, "is no JSON, or is cut short")
    if not isinstance(value, dict):
        return BrokenRow(place, "is no JSON object by name")
    return place, value


def _itself(value: Any) -> Any:
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Refused("has the same name twice")
    return values


def _constant(word: str) -> None:
    """NaN, which Python and pandas write for a missing number; RFC 8259 knows neither it nor the infinities."""
    if word != "NaN":
        raise _Refused("holds an infinite number")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def _elements(found: Source, text: TextIO) -> Iterator[_Record]:
    """The elements of an array; a damaged one ends the reading, because nothing tells where the next begins."""
    reading = _Reading(found, text)
    reading.expect("[")
    if reading.peek() == "]":
        return
    for number in itertools.count(1):
        value = reading.element(number)
        yield _record(f"row {number}", functools.partial(_itself, value))
        following = reading.take()
        if following == "]":
            return
        if following != ",":
            raise TableUnreadable(f"{found.name} is damaged or cut short after row {number}")


class _Reading:
    """A text that is looked at from its start, with only what is not used up in memory."""

    def __init__(self, found: Source, text: TextIO) -> None:
        self._found, self._text = found, text
        self._kept, self._place = "", 0

    def _more(self, size: int = _PART) -> bool:
        with self._found.reading():
            part = self._text.read(size)
        self._kept, self._place = self._kept[self._place :] + part, 0
        return bool(part)

    def peek(self) -> str:
        while True:
            while self._place < len(self._kept) and self._kept[self._place] in _BLANK:
                self._place += 1
            if self._place < len(self._kept):
                return self._kept[self._place]
            if not self._more():
                return ""

    def take(self) -> str:
        found = self.peek()
        self._place += len(found)
        return found

    def expect(self, mark: str) -> None:
        if self.take() != mark:
            raise TableUnreadable(f"{self._found.name} is no JSON array")

    def element(self, number: int) -> Any:
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._kept, self._place)
            except _Refused as error:
                raise TableUnreadable(f"row {number} of {self._found.name} {error}") from error
            except (ValueError, RecursionError) as error:
                # Twice as much each time, so that a long row costs no more than its length.
                waiting = len(self._kept) - self._place
                if waiting > _LARGEST_ROW or not self._more(max(_PART, waiting)):
                    raise TableUnreadable(f"{self._found.name} is damaged or cut short in row {number}") from error
                continue
            # A number at the end of what is read may go on.
            self._place = end
            return value
