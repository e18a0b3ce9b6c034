"""Metrics of several processes on one port: each counts in files of its number, and any of them sums all files up.

Form of the files and summing are those of prometheus_client's multiprocess mode. Two things differ: what switches it on
is no environment variable, which every program started from here would inherit; and a file belongs to a number, not to
a pid, so that the successor of a process counts on where it stopped, and restarts add no files.
"""

import fcntl
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ai_platform.errors import StackError

PREFIX = "aip-metrics-"
PARENT = "parent"
# A folder this young may not have been locked yet.
NEW_SECONDS = 60.0
FILE_BYTES = 262_144


class _Value:
    """One value of one metric, in the file of this process' number; what prometheus_client calls a `ValueClass`."""

    def __init__(  # noqa: PLR0917  # as prometheus_client calls it
        self,
        kind: str,
        metric: str,
        name: str,
        labels: list[str],
        label_values: list[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        self._file_name = f"{kind}_{multiprocess_mode}" if kind == "gauge" else kind
        self._key = mmap_key(metric, name, labels, label_values, help_text)
        with _shared.lock:
            self.open()
            _shared.values.append(self)

    def open(self) -> None:
        """Go on from what stands in the file."""
        self._file = _shared.file(self._file_name)
        self._value: float
        self._timestamp: float
        self._value, self._timestamp = self._file.read_value(self._key)

    def inc(self, amount: float) -> None:
        """Add to it."""
        with _shared.lock:
            self._value += amount
            self._file.write_value(self._key, self._value, self._timestamp)

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Replace it; the time in seconds since 1970 is for gauges of which the most recent counts."""
        with _shared.lock:
            self._value, self._timestamp = value, timestamp or 0.0
            self._file.write_value(self._key, self._value, self._timestamp)

    def get(self) -> float:
        """What this process has counted."""
        return self._value


class _Shared:
    """The folder, and what this process has open in it."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.number = PARENT
        self.lock = threading.Lock()
        self.values: list[_Value] = []
        self._files: dict[str, MmapedDict] = {}
        self._held: int | None = None

    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # for its owner alone
        # Also held by every child: who can take it knows that nobody uses the folder. systemd-tmpfiles looks too.
        self._held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def file(self, name: str) -> MmapedDict:
        assert self.folder is not None
        found = self._files.get(name)
        if found is None:
            path = self.folder / f"{name}_{self.number}.db"
            _allocate(path)
            found = self._files[name] = MmapedDict(str(path))
        return found

    def take(self, number: str) -> None:
        with self.lock:
            self.number = number
            for file in self._files.values():
                file.close()
            self._files.clear()
            for value in self.values:
                value.open()


def _allocate(path: Path) -> None:
    """Take the room for it now: where a mapped file turns out to have none, a process that writes to it is killed."""
    with path.open("ab") as file:
        if not file.tell() and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, FILE_BYTES)


_shared = _Shared()


def share() -> None:
    """Count in files from now on; called before any metric is made.

    Raises:
        StackError: there is no place for the files.
    """
    assert "ai_platform.telemetry" not in sys.modules, "its metrics would not be shared"
    try:
        _remove_left_behind(Path(tempfile.gettempdir()))
        _shared.begin()
    except OSError as error:
        raise StackError(f"several API processes need a temporary folder for their metrics: {error.strerror}") from None
    values.ValueClass = _Value


def take_number(number: int) -> None:
    """In a new process: count in the files of this number, whose last holder is no more."""
    _shared.take(str(number))


def leave_number(number: int) -> None:
    """In the parent: the holder of this number is no more, and what it told of itself (not what it counted) ends."""
    mark_process_dead(number, str(_shared.folder))


def unshare() -> None:
    """At the very end: remove the files."""
    if _shared.folder is not None:
        shutil.rmtree(_shared.folder, ignore_errors=True)


def exposition() -> bytes:
    """All metrics in Prometheus' text format: of this process, or of all that share its port."""
    if _shared.folder is None:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(_shared.folder))
    return generate_latest(registry)


def _remove_left_behind(place: Path) -> None:
    """Folders of parents that were killed."""
    for folder in place.glob(f"{PREFIX}*"):
        try:
            if folder.stat().st_uid != os.getuid() or time.time() - folder.stat().st_mtime < NEW_SECONDS:
                continue
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(held)
