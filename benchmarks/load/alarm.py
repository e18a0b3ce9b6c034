"""An alarm to the microsecond: the timers of event loops are rounded to milliseconds, Linux's `timerfd` is not."""

import asyncio
import contextlib
import ctypes
import os
import struct
import time
from collections.abc import Callable

_ABSOLUTE = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Alarm:
    """Calls a function of the running loop at a time of the monotonic clock.

    Args:
        rings: what is called.
    """

    def __init__(self, rings: Callable[[], None]) -> None:
        self._file = _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK))
        self._rings = rings
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def at(self, when: float) -> None:
        """Ring then, or at once if that is past."""
        # struct itimerspec: interval and value, each seconds and nanoseconds; a value of zero would disarm it.
        value = struct.pack("4l", 0, 0, *divmod(max(1, int(when * 1e9)), 1_000_000_000))
        _checked(_libc.timerfd_settime(self._file, _ABSOLUTE, value, None))

    def close(self) -> None:
        """Ring no more."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._file, 8)
        self._rings()


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "timerfd")
    return result
