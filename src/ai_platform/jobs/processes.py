"""Telling processes of this machine apart for good: a pid alone is given out again."""

import contextlib
import socket
from pathlib import Path
from typing import Literal

import psutil

State = Literal["alive", "stopped", "gone"]

_STOPPED = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
_GONE = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
_START_FIELD = 19  # of /proc/PID/stat after the command's name: proc(5), field 22, "starttime"
# Without /proc only the wall clock is known, which may be set by a little while a process lives.
_CLOCK_TOLERANCE = 2.0


def host_identity() -> str:
    """This boot of this host and its process namespace: where a pid means what it says."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def started_at(pid: int) -> float:
    """When a process started: clock ticks since boot, which setting the clock does not move; else seconds since 1970.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return psutil.Process(pid).create_time()
    return float(stat.rpartition(")")[2].split()[_START_FIELD])


def state_of(pid: int, started: float) -> State:
    """What has become of a process that was noted with its start; `stopped` may come back."""
    try:
        status = psutil.Process(pid).status()
        if status in _GONE or not is_same(pid, started):
            return "gone"
    except psutil.NoSuchProcess:
        return "gone"
    return "stopped" if status in _STOPPED else "alive"


def is_same(pid: int, started: float) -> bool:
    """Whether this pid still belongs to the process that was noted.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    tolerance = 0.0 if Path("/proc/self/stat").exists() else _CLOCK_TOLERANCE
    return abs(started_at(pid) - started) <= tolerance
