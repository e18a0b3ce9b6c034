"""Files of predictions: written beside their place, and put there when they are whole."""

import contextlib
import csv
import gzip
import io
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from ai_platform.cli.predict.scoring import Scored
from ai_platform.errors import PlatformError
from ai_platform.tables.table import ABSENT

_LINES = {".jsonl", ".ndjson"}
_WRITTEN = {".csv", ".json", ".txt", "", *_LINES}


class OutputRefused(PlatformError):
    """The predictions cannot be written where they should go."""

    code = "output_refused"


class Writer(Protocol):
    """Writes one row after another."""

    def write(self, one: Scored) -> None:
        """A row, and what was predicted for it."""

    def close(self) -> None:
        """All rows are written."""


class ResultFile:
    """A file of predictions.

    Args:
        path: where it shall be; its ending says how it is written (`.jsonl`: JSON lines, `.json`: an array, else CSV),
            and `.gz` after it that it is compressed.

    Raises:
        OutputRefused: nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve() if path.exists() else path.parent.resolve() / path.name
        self.is_compressed = path.suffix.lower() == ".gz"
        self.ending = (path.with_suffix("") if self.is_compressed else path).suffix.lower()
        if not self.path.parent.is_dir():
            raise OutputRefused(f"there is no folder {path.parent} to write {path.name} into")
        if self.path.is_dir():
            raise OutputRefused(f"{path} is a folder; name a file in it")
        if self.ending in {".parquet", ".xlsx", ".xls"}:
            raise OutputRefused(f"{path.name}: predictions are written as CSV, JSON lines (.jsonl) or JSON (.json)")
        # A pipe or a device has no place beside it.
        self.is_stream = self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode)
        self.partial = self.path.with_name(
            f"{path.name.removesuffix(''.join(path.suffixes))}.partial{''.join(path.suffixes)}"
        )

    @contextlib.contextmanager
    def opened(self, names: Sequence[str]) -> Iterator["Writing"]:
        """Write rows; afterwards `keep` puts the file in its place, and without it there is none.

        Raises:
            OutputRefused: it cannot be written.
        """
        try:
            with self._raw() as (raw, temporary):
                stream: IO[bytes] = gzip.GzipFile(fileobj=raw, mode="wb", filename="") if self.is_compressed else raw  # type: ignore[assignment]
                yield Writing(self._writer(stream, names), stream, temporary, self)
        except OSError as error:
            raise OutputRefused(f"{self.path} cannot be written: {error.strerror or type(error).__name__}") from error

    @contextlib.contextmanager
    def _raw(self) -> Iterator[tuple[IO[bytes], Path | None]]:
        if self.is_stream:
            with self.path.open("wb") as stream:
                yield stream, None
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name[:64]}.", suffix=".part", dir=self.path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as raw:
                yield raw, temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _writer(self, stream: IO[bytes], names: Sequence[str]) -> Writer:
        if self.ending in _LINES or self.ending == ".json":
            return _JsonWriter(stream, names, is_array=self.ending == ".json")
        return _CsvWriter(stream, names)


class Writing:
    """A file that is being written."""

    def __init__(self, writer: Writer, stream: IO[bytes], temporary: Path | None, file: ResultFile) -> None:
        self._writer, self._stream, self._temporary, self._file = writer, stream, temporary, file
        self.write = writer.write

    def keep(self, *, is_whole: bool) -> Path:
        """Put the file in its place; one that lacks rows goes beside it, because nobody may take it for whole."""
        self._writer.close()
        if self._file.is_compressed:
            self._stream.close()
        self._stream.flush() if not self._stream.closed else None
        if self._temporary is None:
            return self._file.path
        place = self._file.path if is_whole else self._file.partial
        mask = os.umask(0)
        os.umask(mask)
        self._temporary.chmod(0o666 & ~mask)
        self._temporary.replace(place)
        return place


class _Named:
    """Names what was predicted, beside the names of the file."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._predicted: dict[str, str] | None = None

    def predicted(self, result: dict[str, Any]) -> dict[str, Any]:
        if self._predicted is None:
            self._predicted = {name: self._own(name) for name in result}
        if self._predicted.keys() != result.keys():
            raise OutputRefused("another version with other outputs answers now; predict the file again")
        return {self._predicted[name]: value for name, value in result.items()}

    def _own(self, name: str) -> str:
        """A name that no column of the file has: a file may hold its truth, or predictions of another day."""
        taken = {one.strip() for one in self.names}
        while name in taken:
            name = f"{name}_predicted"
        return name


class _CsvWriter(_Named):
    def __init__(self, stream: IO[bytes], names: Sequence[str]) -> None:
        super().__init__(names)
        self._text = io.TextIOWrapper(stream, "utf-8", newline="")
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._begun = False

    def write(self, one: Scored) -> None:
        predicted = self.predicted(one.result)
        if not self._begun:
            self._head(predicted)
        self._rows.writerow([*map(_cell, one.row.cells), *map(_cell, predicted.values())])

    def _head(self, predicted: Sequence[str] | dict[str, Any]) -> None:
        self._rows.writerow([*self.names, *predicted])
        self._begun = True

    def close(self) -> None:
        if not self._begun:
            self._head(["prediction", "version"])
        self._text.flush()
        self._text.detach()


class _JsonWriter(_Named):
    def __init__(self, stream: IO[bytes], names: Sequence[str], *, is_array: bool) -> None:
        super().__init__(names)
        self._stream, self._is_array = stream, is_array
        self._separator = b"[\n" if is_array else b""

    def write(self, one: Scored) -> None:
        cells = {name: cell for name, cell in zip(self.names, one.row.cells, strict=True) if cell is not ABSENT}
        self._stream.write(self._separator + orjson.dumps({**cells, **self.predicted(one.result)}))
        self._separator = b",\n" if self._is_array else b"\n"

    def close(self) -> None:
        if self._is_array:
            self._stream.write(b"\n]\n" if self._separator == b",\n" else b"[]\n")
        elif self._separator:
            self._stream.write(b"\n")


def _cell(value: Any) -> Any:
    """A value as text; what CSV has no form for is written as JSON."""
    if value is None or value is ABSENT:
        return ""
    if isinstance(value, bool | list | dict):
        return orjson.dumps(value).decode()
    return value
