"""Signals for a loop that waits in one place: each ends the wait, and those that ask for an end are remembered."""

import contextlib
import os
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalWakeup:
    """While it is entered, signals wake a selector through `fileno()` and end nothing by themselves.

    Only the main thread may enter it. The death of a child wakes it too.

    Args:
        numbers: the signals.
        respects_nohup: whether a SIGHUP that is ignored stays so.

    Attributes:
        asked: how many of them have come.
    """

    def __init__(self, numbers: tuple[signal.Signals, ...] = ENDING, *, respects_nohup: bool = True) -> None:
        self.asked = 0
        self._numbers, self._respects_nohup = numbers, respects_nohup
        self._reader, self._writer = socket.socketpair()
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        for end in (self._reader, self._writer):
            end.settimeout(0)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            # `nohup` starts a program with SIGHUP ignored, and means it.
            is_kept = number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN and self._respects_nohup
            if not is_kept:
                self._before[number] = signal.signal(number, self._note)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """The descriptor that becomes readable at a signal."""
        return self._reader.fileno()

    def read(self) -> bytes:
        """The numbers of the signals that woke the loop, one a byte, in their order; they are forgotten with that."""
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            while some := os.read(self._reader.fileno(), 4096):
                numbers += some
        return numbers

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1
