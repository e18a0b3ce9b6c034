"""What an `up` that was killed may have left running: found by pid and start time, and ended."""

import signal
from pathlib import Path

import psutil

from ai_platform.errors import StackError
from ai_platform.processes.process_tree import StopPolicy, end, kill, session
from ai_platform.processes.programs import Role
from ai_platform.processes.status import SAME_START_SECONDS, Entry, read_noted, status_file

FIRST: tuple[Role, ...] = ("api", "worker", "sweeper")
SERVERS: tuple[Role, ...] = ("redis", "postgres")
SECONDS = 5.0


def end_orphans(data_dir: Path) -> list[Role]:
    """End what still runs of the last `up` on this data folder, which this process holds now.

    Returns:
        The roles of what was ended.

    Raises:
        StackError: that `up` itself still runs, although nobody holds the data folder.
    """
    noted = read_noted(data_dir)
    for entry in noted:
        if entry.role == "up" and entry.process is not None:
            raise StackError(
                f"another ai-platform up (process {entry.pid}) runs on the data folder {data_dir}; stop it first"
            )
    ended = _end(noted, FIRST) + _end(noted, SERVERS)
    status_file(data_dir).unlink(missing_ok=True)
    return ended


def _end(noted: list[Entry], roles: tuple[Role, ...]) -> list[Role]:
    chosen = [entry for entry in noted if entry.role in roles]
    heads = [(entry, process) for entry in chosen if (process := entry.process) is not None]
    end([_stop_policy(entry, process) for entry, process in heads])
    for entry in chosen:
        kill(_strays(entry))
    return [entry.role for entry, _ in heads]


def _stop_policy(entry: Entry, process: psutil.Process) -> StopPolicy:
    if entry.role == "postgres":
        return StopPolicy(process, signal.SIGINT, SECONDS, signal.SIGQUIT)
    return StopPolicy(process, signal.SIGTERM, SECONDS)


def _strays(entry: Entry) -> list[psutil.Process]:
    """Who is still in the session of a process that is gone (children of a worker that was killed)."""
    if entry.pid is None or entry.started is None or _is_somebody_else(entry):
        return []
    earliest = entry.started - SAME_START_SECONDS
    return [member for member in session(entry.pid) if _created(member) >= earliest]


def _is_somebody_else(entry: Entry) -> bool:
    """Whether its number was given out again, which the system does only once the session is empty."""
    if entry.pid is None or entry.started is None or not psutil.pid_exists(entry.pid):
        return False
    created = _created(psutil.Process(entry.pid))
    return abs(created - entry.started) > SAME_START_SECONDS


def _created(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.NoSuchProcess:
        return 0.0
