"""A process and everything that it started: finding all of it, and ending all of it."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

PAUSE_BETWEEN_LOOKS = 0.02


@dataclass(frozen=True)
class Ending:
    """How one process is to end.

    Attributes:
        process: the head of its family.
        first: what asks it to end in order.
        seconds: how long it may take over that.
        last: asks again, less kindly, for one more second; SIGKILL to the whole family follows.
    """

    process: psutil.Process
    first: signal.Signals
    seconds: float
    last: signal.Signals = signal.SIGKILL


def lives(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not, however long its parent takes to bury it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(head: psutil.Process) -> list[psutil.Process]:
    """The process, its descendants, and who else is in the session that it leads, which outlives it."""
    if head.is_running():
        found = [head, *_descendants(head)]
    elif psutil.pid_exists(head.pid):
        # Its number belongs to somebody else by now, which the system allows only once its session is empty.
        return []
    else:
        found = []
    return list(dict.fromkeys([*found, *session(head.pid)]))


def session(leader: int) -> list[psutil.Process]:
    """Everybody in the session of that leader, the leader apart."""
    found = []
    for pid in psutil.pids():
        if pid not in (leader, os.getpid()) and _session_of(pid) == leader:
            found += _existing(pid)
    return found


def send(members: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal each that is still there."""
    for member in members:
        try:
            member.send_signal(number)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def end(endings: list[Ending], meanwhile: Callable[[float], None] = time.sleep) -> None:
    """Ask each to end, wait for all of them together, and kill what is left with all that it started.

    It takes at most the longest `seconds` and two more.

    Args:
        endings: who is to end, and how.
        meanwhile: called again and again with the seconds that may be spent (reading their output, say).
    """
    families = [family(ending.process) for ending in endings]
    for ending, members in zip(endings, families, strict=True):
        send([ending.process], ending.first)
        # One that is stopped acts on a signal only once it goes on.
        send(members, signal.SIGCONT)
    _wait(endings, {ending.process: ending.seconds for ending in endings}, meanwhile)
    stubborn = [ending for ending in endings if lives(ending.process) and ending.last != signal.SIGKILL]
    for ending in stubborn:
        send([ending.process], ending.last)
    _wait(stubborn, {ending.process: 1.0 for ending in stubborn}, meanwhile)
    for ending, members in zip(endings, families, strict=True):
        kill([*members, *family(ending.process)], meanwhile)


def kill(members: Iterable[psutil.Process], meanwhile: Callable[[float], None] = time.sleep) -> None:
    """SIGKILL each that still runs, and wait for their death, at most one second."""
    left = [member for member in set(members) if lives(member)]
    send(left, signal.SIGKILL)
    limit = time.monotonic() + 1.0
    while any(lives(member) for member in left) and time.monotonic() < limit:
        meanwhile(PAUSE_BETWEEN_LOOKS)


def _wait(endings: list[Ending], seconds: dict[psutil.Process, float], meanwhile: Callable[[float], None]) -> None:
    start = time.monotonic()
    while any(lives(ending.process) and time.monotonic() - start < seconds[ending.process] for ending in endings):
        meanwhile(PAUSE_BETWEEN_LOOKS)


def _descendants(head: psutil.Process) -> list[psutil.Process]:
    try:
        return head.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _existing(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
