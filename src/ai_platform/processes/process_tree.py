"""A process and everything that it started: finding all of it, and ending all of it."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

PAUSE_BETWEEN_LOOKS = 0.02


@dataclass(frozen=True)
class StopPolicy:
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


def end(policies: list[StopPolicy], meanwhile: Callable[[float], None] = time.sleep) -> None:
    """Ask each to end, wait for all of them together, and kill what is left with all that it started.

    It takes at most the longest `seconds` and two more.

    Args:
        policies: who is to end, and how.
        meanwhile: called again and again with the seconds that may be spent (reading their output, say).
    """
    trees = [family(policy.process) for policy in policies]
    for policy, members in zip(policies, trees, strict=True):
        send([policy.process], policy.first)
        # One that is stopped acts on a signal only once it goes on.
        send(members, signal.SIGCONT)
    _wait(policies, {policy.process: policy.seconds for policy in policies}, meanwhile)
    stubborn = [policy for policy in policies if lives(policy.process) and policy.last != signal.SIGKILL]
    for policy in stubborn:
        send([policy.process], policy.last)
    _wait(stubborn, {policy.process: 1.0 for policy in stubborn}, meanwhile)
    for policy, members in zip(policies, trees, strict=True):
        kill([*members, *family(policy.process)], meanwhile)


def kill(members: Iterable[psutil.Process], meanwhile: Callable[[float], None] = time.sleep) -> None:
    """SIGKILL each that still runs, and wait for their death, at most one second."""
    left = [member for member in set(members) if lives(member)]
    send(left, signal.SIGKILL)
    limit = time.monotonic() + 1.0
    while any(lives(member) for member in left) and time.monotonic() < limit:
        meanwhile(PAUSE_BETWEEN_LOOKS)


def _wait(policies: list[StopPolicy], seconds: dict[psutil.Process, float], meanwhile: Callable[[float], None]) -> None:
    start = time.monotonic()
    while any(lives(policy.process) and time.monotonic() - start < seconds[policy.process] for policy in policies):
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
