"""Whether a computation holds the GIL: how late another thread is woken while it runs."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

_NAP_SECONDS = 0.0005
_LOOK_SECONDS = 0.1
# Threads of a computation that releases the lock are late by tens of microseconds; of one that does not, by 5 ms.
_LATE_SECONDS = 0.001
# Of the time, that the other thread may be kept waiting for the lock.
_SHARE = 0.25


def holds_gil(compute: Callable[[], object]) -> bool:
    """Whether other threads, the event loop's above all, are kept waiting for most of a computation.

    A thread naps, and notes how late it can go on. What it waited for a processor is taken off (the kernel counts
    that, `proc_pid_schedstat(5)`), so that a busy machine or a single core does not make a model look worse.

    Args:
        compute: called again and again for 0.1 s, once at least, by the present thread.
    """
    napping = _Napping()
    with napping:
        begun = time.perf_counter()
        while time.perf_counter() - begun < _LOOK_SECONDS:
            compute()
        seconds = time.perf_counter() - begun
    return napping.late_seconds > _SHARE * seconds


class _Napping:
    """A thread that naps for as long as the context is open."""

    def __init__(self) -> None:
        self.late_seconds = 0.0
        self._end = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._nap_on, name="lock-probe", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        self._begun.wait(1)

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _nap_on(self) -> None:
        self._begun.set()
        before, queued_before = time.perf_counter(), _queued_seconds()
        while not self._end.is_set():
            time.sleep(_NAP_SECONDS)
            queued, now = _queued_seconds(), time.perf_counter()
            late = now - before - _NAP_SECONDS - (queued - queued_before)
            if late > _LATE_SECONDS:
                self.late_seconds += late
            before, queued_before = now, queued


def _queued_seconds() -> float:
    """Seconds for which this thread could have run and had no processor; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0
