"""Ending with one's parent, however that ends: prctl(2), PR_SET_PDEATHSIG. Elsewhere than on Linux it does nothing."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def prctl_of_libc() -> Callable[..., int] | None:
    """`prctl`; None where the system has none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return function


PRCTL = prctl_of_libc()


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when the thread that started it ends.

    Args:
        parent: process id of the parent.
        number: the signal.

    Raises:
        ProcessLookupError: the parent was gone before the kernel was asked.
        OSError: the kernel refuses.
    """
    if PRCTL is None:
        return
    if PRCTL(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        raise ProcessLookupError("the process that asked is gone")


def dying_with(parent: int, number: int) -> Callable[[], None]:
    """The same for a child between fork and exec, which ends at once where its parent is gone."""

    def ask() -> None:
        try:
            die_with(parent, number)
        except ProcessLookupError:
            os._exit(1)
        except OSError:
            return  # a kernel that refuses: it starts all the same, and its parent ends it

    return ask
