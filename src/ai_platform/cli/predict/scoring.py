"""Rows of a file through a platform, chunk by chunk: each is predicted, or told apart by its place and its fault."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

from ai_platform.cli.predict.asking import Caller, PredictionRefused
from ai_platform.errors import ModelFailed, ModelTooSlow
from ai_platform.runtimes.base.cells import MISSING_WORDS, NUMBER, typed
from ai_platform.runtimes.base.signature import Feature
from ai_platform.tables.table import ABSENT, BrokenRow, Row, Table

CHUNK_ROWS = 500
# Well below what a platform takes by default (1 MiB).
CHUNK_BYTES = 400_000
# After so many rows that the model fails for, with none that it predicts, it is the model.
_MOST_FAILURES = 20
_FAILED = frozenset({ModelFailed.code, ModelTooSlow.code})


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with what was predicted for it: name to value."""

    row: Row
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unscored:
    """A row that was not predicted, with half a sentence why."""

    place: str
    why: str


@dataclass(slots=True)
class _Waiting:
    row: Row
    instance: bytes
    outcome: Scored | Unscored | None = None


@dataclass(slots=True)
class _Chunk:
    entries: list[_Waiting | Unscored] = field(default_factory=list)
    size: int = 0

    @property
    def waiting(self) -> list[_Waiting]:
        return [one for one in self.entries if isinstance(one, _Waiting)]


class Scoring:
    """One model and one table.

    Args:
        caller: the platform.
        name: the model's name.
        inputs: its features; None where nobody may tell, then all columns are sent by their own names.
        places: the column of each input.
    """

    def __init__(self, caller: Caller, name: str, inputs: Sequence[Feature] | None, places: Sequence[int]) -> None:
        self._caller, self._path = caller, f"/models/{name}/predict"
        self._inputs, self._places = inputs, places
        self._rows, self._bytes = CHUNK_ROWS, CHUNK_BYTES
        self._scored = self._failures = 0

    def outcomes(self, table: Table) -> Iterator[Scored | Unscored]:
        """The outcome of each row, in their order.

        Raises:
            PredictionRefused: the platform refuses what is no fault of a row.
            TableUnreadable: the file is damaged.
        """
        chunk = _Chunk()
        for row in table.rows:
            entry = self._entry(row, table)
            size = len(entry.instance) + 1 if isinstance(entry, _Waiting) else 0
            if len(chunk.entries) >= self._rows or (chunk.entries and chunk.size + size > self._bytes):
                yield from self._sent(chunk)
                chunk = _Chunk()
            chunk.entries.append(entry)
            chunk.size += size
        yield from self._sent(chunk)

    def _entry(self, row: Row | BrokenRow, table: Table) -> _Waiting | Unscored:
        if isinstance(row, BrokenRow):
            return Unscored(row.place, row.why)
        try:
            return _Waiting(row, orjson.dumps(self._instance(row, table)))
        except ValueError as error:
            return Unscored(row.place, str(error))
        except TypeError:  # a number beyond 64 bits, half of a character
            return Unscored(row.place, "holds a value that JSON cannot carry")

    def _instance(self, row: Row, table: Table) -> dict[str, Any]:
        if self._inputs is None:
            read = _guessed if table.is_text else _sent_as_is
            return {name: read(cell) for name, cell in zip(table.names, row.cells, strict=True) if cell is not ABSENT}
        values = {}
        for feature, place in zip(self._inputs, self._places, strict=True):
            cell = row.cells[place]
            if cell is ABSENT:
                if not feature.nullable:
                    raise ValueError(f"{feature.name}: is missing")
            elif table.is_text:
                values[feature.name] = _typed(cell, feature, table.decimal)
            else:
                values[feature.name] = cell
        return values

    def _sent(self, chunk: _Chunk) -> Iterator[Scored | Unscored]:
        groups = [chunk.waiting] if chunk.waiting else []
        while groups:
            groups.extend(self._left(groups.pop()))
        for one in chunk.entries:
            outcome = one if isinstance(one, Unscored) else one.outcome
            assert outcome is not None
            yield outcome

    def _left(self, group: list[_Waiting]) -> list[list[_Waiting]]:
        """Ask for a group; what has to be asked again, in smaller groups."""
        body = b'{"instances":[' + b",".join(one.instance for one in group) + b"]}"
        try:
            answer = self._caller.call("POST", self._path, body)
        except PredictionRefused as refusal:
            return self._after(refusal, group)
        for one, result in zip(group, _by_row(answer, len(group)), strict=True):
            one.outcome = Scored(one.row, result)
        self._scored += len(group)
        return []

    def _after(self, refusal: PredictionRefused, group: list[_Waiting]) -> list[list[_Waiting]]:
        faults = _faults_by_row(refusal, len(group))
        if faults:
            for place, why in faults.items():
                group[place].outcome = Unscored(group[place].row.place, why)
            return [left] if (left := [one for one in group if one.outcome is None]) else []
        is_large = refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or any(
            pointer == "/instances" for pointer, _detail in refusal.faults
        )
        if not is_large and refusal.problem not in _FAILED:
            raise refusal
        if len(group) > 1:
            if is_large:
                self._rows, self._bytes = max(1, len(group) // 2), max(1, self._bytes // 2)
            middle = len(group) // 2
            return [group[middle:], group[:middle]]
        self._failures += not is_large
        if self._failures >= _MOST_FAILURES and not self._scored:
            raise refusal
        group[0].outcome = Unscored(group[0].row.place, refusal.detail)
        return []


def _typed(cell: str, feature: Feature, decimal: str) -> Any:
    try:
        value = typed(cell, feature, decimal)
    except ValueError as error:
        raise ValueError(f"{feature.name}: {error}") from None
    if value is None and not feature.nullable:
        raise ValueError(f"{feature.name}: is empty, and the model needs it")
    return value


def _guessed(cell: str) -> Any:
    if not cell or cell.strip().lower() in MISSING_WORDS:
        return None
    return float(cell) if NUMBER.fullmatch(cell.strip()) else cell


def _sent_as_is(value: Any) -> Any:
    return value


def _faults_by_row(refusal: PredictionRefused, count: int) -> dict[int, str]:
    """Place of an instance to its faults; none where a fault is of no instance."""
    found: dict[int, str] = {}
    for pointer, detail in refusal.faults:
        parts = pointer.split("/")
        if parts[:2] != ["", "instances"] or len(parts) < 3 or not parts[2].isdigit() or int(parts[2]) >= count:  # noqa: PLR2004
            continue
        name = "/".join(parts[3:]).replace("~1", "/").replace("~0", "~")
        said = f"{name}: {detail}" if name else detail
        place = int(parts[2])
        found[place] = f"{found[place]}; {said}" if place in found else said
    return found


def _by_row(answer: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """The answer's columns as one object a row; a probability is named by its class."""
    classes = answer.get("classes") or []
    for number in range(count):
        one: dict[str, Any] = {"prediction": answer["predictions"][number]}
        if answer.get("labels") is not None:
            one["label"] = answer["labels"][number]
        if answer.get("probabilities") is not None:
            one |= {f"p_{name}": value for name, value in zip(classes, answer["probabilities"][number], strict=True)}
        yield {**one, "version": answer["version"]}
