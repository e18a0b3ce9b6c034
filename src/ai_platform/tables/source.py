"""The bytes of a file: opened without a trace of its kind, decompressed, read from the start more than once."""

import contextlib
import errno
import gzip
import io
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from ai_platform.tables.table import TableUnreadable

_GZIP = b"\x1f\x8b"
# How files start that are no text, and what to say of each.
_OTHERS = (
    (b"PK\x03\x04", "is a workbook or a ZIP archive; save it as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save it as CSV"),
    (b"BZh", "is compressed by bzip2; unpack it, or compress it by gzip"),
    (b"\xfd7zXZ", "is compressed by xz; unpack it, or compress it by gzip"),
    (b"\x28\xb5\x2f\xfd", "is compressed by Zstandard; unpack it, or compress it by gzip"),
    (b"ARROW1", "is an Arrow file; save it as CSV, JSON lines or Parquet"),
    (b"\x89PNG", "is a picture, and no table"),
    (b"%PDF", "is a PDF, and no table"),
    (b"\x80\x04", "is a pickle; save the table as CSV, JSON lines or Parquet"),
    (b"\x80\x05", "is a pickle; save the table as CSV, JSON lines or Parquet"),
    (b"SQLite format 3", "is a SQLite database; save the table as CSV"),
)
_PART_BYTES = 1_048_576
HEAD_BYTES = 65_536


class Source:
    """A file's content.

    Args:
        name: of the file, for people.
        raw: it, seekable.
        size: its size in bytes.

    Raises:
        TableUnreadable: it is empty, or of a kind that holds no text.
    """

    def __init__(self, name: str, raw: BinaryIO, size: int) -> None:
        self.name, self.size = name, size
        self._raw = raw
        self.is_compressed = raw.read(2) == _GZIP
        self.head = self._head()
        for start, sentence in _OTHERS:
            if self.head.startswith(start):
                raise TableUnreadable(f"{name} {sentence}")
        if not self.head.strip(b" \t\r\n\xef\xbb\xbf"):
            raise TableUnreadable(f"{name} is empty")

    def _head(self) -> bytes:
        with self.reading():
            return self.opened().read(HEAD_BYTES)

    def opened(self) -> IO[bytes]:
        """The content from its start; one reader at a time."""
        self._raw.seek(0)
        if self.is_compressed:
            return cast("IO[bytes]", gzip.GzipFile(fileobj=self._raw))
        return self._raw

    def parts(self) -> Iterator[bytes]:
        """The content from its start, part by part.

        Raises:
            TableUnreadable: it is damaged.
        """
        with self.reading():
            opened = self.opened()
            while part := opened.read(_PART_BYTES):
                yield part

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Say of a file that ends or breaks while it is read what is wrong with it."""
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise TableUnreadable(f"{self.name} is compressed, and damaged or cut short") from error
        except OSError as error:
            raise TableUnreadable(f"{self.name} cannot be read: {error.strerror or type(error).__name__}") from error

    def position(self) -> int:
        """How far into the file reading has come, in bytes."""
        return self._raw.tell()


@contextlib.contextmanager
def source(path: Path) -> Iterator[Source]:
    """Open a file; what cannot be read twice, as a pipe, is copied aside first.

    Raises:
        TableUnreadable: there is none, it cannot be read, or it holds no table.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise TableUnreadable(f"{path} is a folder; name a file in it")
        opened: IO[bytes] = path.open("rb")
    except OSError as error:
        missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        why = "there is no such file" if missing else error.strerror or type(error).__name__
        raise TableUnreadable(f"{path} cannot be read: {why}") from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(opened)
        if not stat.S_ISREG(found.st_mode):
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(opened, copy)
            opened = copy
        size = opened.seek(0, io.SEEK_END)
        opened.seek(0)
        yield Source(path.name, opened, size)  # type: ignore[arg-type]  # a file of bytes
