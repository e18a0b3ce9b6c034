"""A model that misbehaves for given inputs. This very file is published, in the format `python`."""

import collections
import faulthandler
import itertools
import os
import resource
import signal
from enum import IntEnum
from pathlib import Path

import numpy as np

HEADROOM = 64 * 1024 * 1024


class Trouble(IntEnum):
    """The second feature: what the model does before it answers."""

    NONE = 0
    RAISE = 1
    CRASH = 2
    MEMORY = 3
    HANG = 4
    KILLED = 5


class Troubled:
    """Doubles its first feature."""

    inputs = ("number", "trouble")

    def predict(self, rows: list[list[float]]) -> list[float]:
        for trouble in {int(trouble) for _number, trouble in rows} - {Trouble.NONE}:
            _ACTS[Trouble(trouble)]()
        return [number * 2 for number, _trouble in rows]


def _raise() -> None:
    raise ValueError("not this row")


def _crash() -> None:
    faulthandler._sigsegv()  # type: ignore[attr-defined]  # in C, as a broken library crashes


def _run_out_of_memory() -> None:
    """A real failed allocation: the process may not grow beyond what it has and a little."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + HEADROOM, before[1]))
    try:
        np.ones(HEADROOM, dtype=np.float64)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hang() -> None:
    """In C, holding the interpreter: no thread and no signal handler of this process ever runs again."""
    collections.deque(itertools.repeat(0), maxlen=0)


def _be_killed() -> None:
    """What the kernel does to the largest process when the machine has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


_ACTS = {
    Trouble.RAISE: _raise,
    Trouble.CRASH: _crash,
    Trouble.MEMORY: _run_out_of_memory,
    Trouble.HANG: _hang,
    Trouble.KILLED: _be_killed,
}
