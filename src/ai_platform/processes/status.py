"""Which processes of a data folder run: written by `up` at each change, read by everybody else."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import psutil

from ai_platform.processes.files import write_private
from ai_platform.processes.programs import Role

State = Literal["starting", "running", "restarting", "stopped", "dead"]

# The system's clock may have been set since; a pid is not given out twice within so few seconds.
SAME_START_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One process of the platform.

    Attributes:
        role: what it does.
        pid: its process id; `None` while it waits to be restarted.
        started: when it started, in seconds since 1970; with the pid it names one process for good.
        state: `dead` is what a reader finds when the process is gone and nobody has noted it.
        restarts: how often it has been restarted since `up` started.
        url: where it is reached, with password; for `api`, `postgres` and `redis`.
    """

    role: Role
    pid: int | None
    started: float | None
    state: State
    restarts: int
    url: str | None

    @property
    def process(self) -> psutil.Process | None:
        """The process, if this very one still exists."""
        if self.pid is None or self.started is None:
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def status_file(data_dir: Path) -> Path:
    """Where the status of a data folder stands."""
    return data_dir / "run" / "processes.json"


def write_status(data_dir: Path, entries: Iterable[Entry]) -> None:
    """Note all of them in one step; the file holds passwords and is its owner's alone.

    Raises:
        OSError: the folder cannot be written.
    """
    write_private(status_file(data_dir), json.dumps([asdict(entry) for entry in entries], indent=1))


def read_noted(data_dir: Path) -> list[Entry]:
    """What was noted last, whether true or not by now; empty when there is nothing readable."""
    try:
        noted = json.loads(status_file(data_dir).read_text(encoding="utf-8"))
        return [_entry(item) for item in noted]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def read_status(data_dir: Path) -> list[Entry]:
    """The processes of the data folder as they are: those that are gone are `dead`; empty when nothing of it runs."""
    entries = [_checked(entry) for entry in read_noted(data_dir)]
    return entries if any(entry.process is not None for entry in entries) else []


def running_urls(data_dir: Path) -> dict[Role, str]:
    """Where the running parts of the data folder are reached, passwords included (`{"postgres": "postgresql://…"}`)."""
    return {
        entry.role: entry.url for entry in read_status(data_dir) if entry.url is not None and entry.process is not None
    }


def _checked(entry: Entry) -> Entry:
    gone = entry.pid is not None and entry.process is None
    return replace(entry, state="dead") if gone and entry.state != "stopped" else entry


def _entry(item: dict[str, Any]) -> Entry:
    entry = Entry(**item)
    if entry.role not in get_args(Role) or entry.state not in get_args(State):
        raise ValueError(item)
    return entry
