"""An alarm to the microsecond: the timers of event loops are rounded to milliseconds, Linux's `timerfd` is not."""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable

_CLOCK_MONOTONIC, _NONBLOCK, _ABSOLUTE = 1, os.O_NONBLOCK, 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class Alarm:
    """Calls a function of the running loop at a time of the monotonic clock.

    Args:
        rings: what is called.

    Raises:
        OSError: the kernel has no such timer.
    """

    def __init__(self, rings: Callable[[], None]) -> None:
        self._file = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._rings = rings
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def at(self, when: float) -> None:
        """Ring then, or at once if that is past."""
        # A time of zero would disarm it.
        seconds, part = divmod(max(1, int(when * 1e9)), 1_000_000_000)
        timer = _Timer(_Time(0, 0), _Time(seconds, part))
        if _libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(timer), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        """Ring no more."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._file, 8)
        self._rings()
