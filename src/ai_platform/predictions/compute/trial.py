"""Trying a version in a process of its own first: what loads code may end, hang or fill the process that loads it."""

import contextlib
import resource
import socket
import subprocess
import sys
import time
from typing import Any

import msgspec

from ai_platform.errors import ArtifactRefused, ModelNotReady
from ai_platform.models.registry.versions import Version
from ai_platform.predictions.compute import ipc
from ai_platform.predictions.compute.child import STARTING_NICER
from ai_platform.predictions.compute.process import spawned
from ai_platform.runtimes.base.runtime import Outputs, Rows, Value
from ai_platform.settings import ModelSettings

_START_SECONDS = 60.0
_CHUNK = 262_144
# Versions that one process tries: what each leaves behind in it does not grow without end.
_MOST_TRIED = 16
_MEGABYTE = 1_000_000


class TrialProcess:
    """A compute process that tries versions, one at a time. Used by one thread, with which it ends.

    Args:
        hello: what it is told first.
        models: how long loading and trying may take, and most memory.
    """

    def __init__(self, hello: ipc.Hello, models: ModelSettings) -> None:
        self._hello = hello
        self._seconds = models.load_seconds
        self._memory_bytes = models.validation_memory_mb * _MEGABYTE
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket
        self._frames = ipc.Frames()
        self._arrived: list[Any] = []
        self._numbers = 0
        self._tried = 0

    def load(self, version: Version, row: list[Value]) -> "TriedModel":
        """Load a version, and have it predict one row and two.

        Args:
            version: the version; its artifact is in the folder of artifacts.
            row: a row that it should predict.

        Returns:
            The model, which predicts in this process until the next one is loaded.

        Raises:
            ArtifactRefused: it was refused, raised, gave another number of outputs, ended the process or took too long.
            OSError: no process can be started.
        """
        if self._tried >= _MOST_TRIED:
            self.close()
        self._start()
        self._tried += 1
        number = self._next()
        answer = self._ask(ipc.Load(number, version), number)
        if not isinstance(answer, ipc.Loaded) or answer.why_not is not None:
            raise ArtifactRefused(getattr(answer, "why_not", None) or "it cannot be loaded")
        tried = TriedModel(self, version.model, version.version)
        for rows in ([row], [row, row]):
            try:
                tried.predict(rows)
            except ValueError as error:
                raise ArtifactRefused(f"it was tried with {len(rows)} of its own rows: {error}") from None
        return tried

    def drop(self, model: str, version: int) -> None:
        """Let a version go."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._channel.sendall(ipc.frame(ipc.Drop(model, version)))

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._channel.close()

    def compute(self, model: str, version: int, rows: list[list[Value]]) -> Outputs:
        """Predict rows of a loaded version.

        Raises:
            ValueError: the model raised, or gave another number of outputs; the sentence is the process'.
            ArtifactRefused: the process ended over it, or did not answer in time.
        """
        number = self._next()
        answer = self._ask(ipc.Compute(number, model, version, rows), number)
        if isinstance(answer, ipc.Failed):
            raise ValueError(answer.why)  # noqa: TRY004  # an answer of the process, not a wrong type
        assert isinstance(answer, ipc.Computed)
        return answer.outputs

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._frames, self._arrived, self._tried = ipc.Frames(), [], 0
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = spawned(theirs, STARTING_NICER)
            except BaseException:
                ours.close()
                raise
        self._channel = ours
        if sys.platform == "linux":
            with contextlib.suppress(OSError, ValueError):  # a lower limit stands already
                resource.prlimit(self._process.pid, resource.RLIMIT_AS, (self._memory_bytes, self._memory_bytes))
        try:
            self._channel.sendall(ipc.frame(self._hello))
            self._answer(None, _START_SECONDS)
        except (OSError, EOFError):
            self.close()
            raise OSError("the process that tries versions does not start") from None

    def _ask(self, question: ipc.Load | ipc.Compute, number: int) -> Any:
        try:
            self._channel.sendall(ipc.frame(question))
            return self._answer(number, self._seconds)
        except TimeoutError:
            self.close()
            limit = f"{self._seconds:g} s (AI_PLATFORM_MODELS__LOAD_SECONDS)"
            raise ArtifactRefused(f"it did not {_what(question)} within {limit}; its process was ended") from None
        except (OSError, EOFError):
            status = self._process.wait() if self._process is not None else 0
            self.close()
            raise ArtifactRefused(f"it ended the process that tried to {_what(question)} ({_ended(status)})") from None

    def _answer(self, number: int | None, seconds: float) -> Any:
        """The answer of that number; the first one for None."""
        until = time.monotonic() + seconds
        while True:
            for answer in self._arrived:
                if number is None or getattr(answer, "number", None) == number:
                    self._arrived.clear()
                    return answer
            self._channel.settimeout(max(0.001, until - time.monotonic()))
            data = self._channel.recv(_CHUNK)
            if not data:
                raise EOFError
            try:
                self._arrived += [ipc.answers.decode(whole) for whole in self._frames.feed(data)]
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise EOFError from None  # what says something else counts as ended


class TriedModel:
    """A version that is computed in the process that tries it.

    Args:
        process: that process.
        model: the model's name.
        version: its number.
    """

    def __init__(self, process: TrialProcess, model: str, version: int) -> None:
        self._process = process
        self._key = (model, version)

    def predict(self, rows: Rows) -> Outputs:
        """Outputs aligned with the rows.

        Raises:
            ValueError: the model raised, or gave another number of outputs.
            ArtifactRefused: the process ended over it, or did not answer in time.
        """
        return self._process.compute(*self._key, rows)  # type: ignore[arg-type]


class NotHere:
    """Stands for a model that is computed in other processes alone, because its code is nobody's here."""

    def predict(self, rows: Rows) -> Outputs:
        """Nothing.

        Raises:
            ModelNotReady: always: no process can compute it now.
        """
        del rows
        raise ModelNotReady("no process can compute this model now")


def _what(question: ipc.Load | ipc.Compute) -> str:
    return "load" if isinstance(question, ipc.Load) else f"predict {len(question.rows)} of its rows"


def _ended(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
