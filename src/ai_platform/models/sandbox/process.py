"""A fresh interpreter that runs one module: it inherits named descriptors and no secrets, and ends in time, wholly."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import ai_platform

_CHUNK = 65_536
_KEPT_OUTPUT = 4_096
_LONGEST_ANSWER = 16 * 1024 * 1024
_EXIT_SECONDS = 2.0
_DEATH_SECONDS = 10.0
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended.

    Attributes:
        timed_out: its time was up, and it was killed.
        status: its exit status; negative when a signal ended it.
        signal: name of the signal that ended it; None when it ended by itself or was ended after its last answer.
        output: the end of what it wrote to standard output and error, for the log only.
    """

    timed_out: bool
    status: int
    signal: str | None
    output: str


class SandboxProcess:
    """One run of a module in a process group of its own, in an empty folder that goes with it.

    A context: the pipe, the folder and whatever is left of the group are gone afterwards.

    Args:
        module: run as `python -m`; it reads its request from standard input.
        pass_fds: descriptors that it inherits, under the same numbers.
        threads: how many the numeric libraries may use.
    """

    def __init__(self, module: str, pass_fds: Sequence[int], *, threads: int) -> None:
        self._command = [sys.executable, "-P", "-m", module]
        self._folder = tempfile.TemporaryDirectory(prefix="aip-validate-", ignore_cleanup_errors=True)
        self._environment = _environment(Path(self._folder.name), threads)
        self._reading, self.answers_fd = os.pipe()
        self._pass_fds = (*pass_fds, self.answers_fd)
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0
        self._timed_out = False
        self._output = b""

    def __enter__(self) -> "SandboxProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.close(self._reading)
        self._close_answers()
        if self._process is not None:
            self._kill()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._folder.cleanup()

    def start(self, request: bytes, seconds: float) -> None:
        """Start it with a request, and give it so many seconds."""
        self._deadline = time.monotonic() + seconds
        with tempfile.TemporaryFile() as stdin:
            stdin.write(request)
            stdin.seek(0)
            self._process = subprocess.Popen(
                self._command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._folder.name,
                env=self._environment,
                pass_fds=self._pass_fds,
                start_new_session=True,
            )
        self._close_answers()

    def extend(self, seconds: float) -> None:
        """Give it so many seconds from now."""
        self._deadline = time.monotonic() + seconds

    def lines(self) -> Iterator[bytes]:
        """Its answers as they come, until it closes the pipe, its time is up, or it says far too much."""
        held = b""
        while (chunk := self._next()) is not None:
            held += chunk
            *whole, held = held.split(b"\n")
            yield from whole
            if len(held) > _LONGEST_ANSWER:
                return

    def end(self, *, finished: bool) -> Ending:
        """Wait briefly for its own end unless it has finished, then kill all that is left of its group."""
        assert self._process is not None
        if not finished and not self._timed_out:
            self._await_exit()
        status = self._kill()
        number = -status if status < 0 and not finished and not self._timed_out else None
        return Ending(
            self._timed_out,
            status,
            None if number is None else signal.Signals(number).name,
            self._output.decode("utf-8", "replace"),
        )

    def _next(self) -> bytes | None:
        """More of its answers; None at their end or at the deadline. Its output is drained on the way."""
        assert self._process is not None
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        sources = select.poll()
        for source in (self._reading, output):
            sources.register(source, select.POLLIN)
        while True:
            milliseconds = max(0.0, self._deadline - time.monotonic()) * 1_000
            ready = {source for source, _ in sources.poll(milliseconds)}
            if not ready:
                self._timed_out = True
                return None
            if output in ready and not self._keep_output(output):
                sources.unregister(output)
            if self._reading in ready:
                return os.read(self._reading, _CHUNK) or None

    def _keep_output(self, source: int) -> bool:
        chunk = os.read(source, _CHUNK)
        self._output = (self._output + chunk)[-_KEPT_OUTPUT:]
        return bool(chunk)

    def _await_exit(self) -> None:
        assert self._process is not None
        # A descriptor of the process tells its end without reaping it, so that its group cannot be another's yet.
        descriptor = os.pidfd_open(self._process.pid)
        try:
            exits = select.poll()
            exits.register(descriptor, select.POLLIN)
            exits.poll(_EXIT_SECONDS * 1_000)
        finally:
            os.close(descriptor)

    def _kill(self) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            try:
                self._process.wait(_DEATH_SECONDS)
            except subprocess.TimeoutExpired:  # stuck in the kernel; it dies when that lets go of it
                return -signal.SIGKILL
        assert self._process.returncode is not None
        return self._process.returncode

    def _close_answers(self) -> None:
        if self.answers_fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.answers_fd)
            self.answers_fd = -1


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """What an interpreter and numeric libraries need, and no setting or secret of the platform."""
    source = Path(ai_platform.__file__).parents[1]
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = [str(Path(part).absolute()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {
        **passed,
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join([str(source), *own]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",
        "MALLOC_ARENA_MAX": "2",
        "JOBLIB_MULTIPROCESSING": "0",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
