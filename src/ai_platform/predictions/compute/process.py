"""One compute process, seen from the event loop of the API process that started it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec

import ai_platform
from ai_platform.errors import ModelFailed
from ai_platform.models.registry.versions import Version
from ai_platform.predictions.compute.child import NICER
from ai_platform.predictions.compute.ipc import (
    Answer,
    Compute,
    Computed,
    Drop,
    Failed,
    Frames,
    Hello,
    Load,
    Loaded,
    answers,
)
from ai_platform.predictions.compute.ipc import frame as framed
from ai_platform.predictions.compute.pending import VersionKey
from ai_platform.runtimes.base.runtime import Value
from ai_platform.settings import PREFIX

_MODULE = "ai_platform.predictions.compute.child"
_START_SECONDS = 60.0
_DEATH_SECONDS = 10.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ComputeProcessDied(Exception):
    """The process ended before it answered."""


class NotLoaded(Exception):
    """The process could not load a version; the sentence says why."""


class ComputeProcess(asyncio.Protocol):
    """A process that predicts one call at a time and loads beside it. It dies with the thread that started it.

    Attributes:
        ended: set when it has ended, or no longer listens.
        loaded: the versions that it holds.
        reason: why it ended, for metrics.
    """

    def __init__(self) -> None:
        self.reason = "died"
        self.ended = asyncio.Event()
        self.loaded: set[VersionKey] = set()
        self._frames = Frames()
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._loading: dict[VersionKey, asyncio.Task[None]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport
        self._process: subprocess.Popen[bytes]

    @classmethod
    async def start(cls, hello: Hello) -> "ComputeProcess":
        """Start one; returns when it can be asked.

        Raises:
            ComputeProcessDied: it ended first, or took longer than a minute.
            OSError: it could not be started.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = spawned(theirs)
            loop = asyncio.get_running_loop()
            _, self = await loop.create_unix_connection(cls, sock=ours)
        except BaseException:
            ours.close()
            raise
        self._process = process
        try:
            self._transport.write(framed(hello))
            async with asyncio.timeout(_START_SECONDS):
                await self._ready
        except BaseException as error:
            await self.end()
            if isinstance(error, TimeoutError):
                raise ComputeProcessDied from None
            raise
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def load(self, version: Version) -> None:
        """Have a version loaded, unless it is; calls that ask for the same one share it.

        Raises:
            NotLoaded: it was refused.
            ComputeProcessDied: the process ended.
        """
        key = (version.model, version.version)
        if key in self.loaded:
            return
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.get_running_loop().create_task(self._load(key, version))
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        await asyncio.shield(task)

    def drop(self, key: VersionKey) -> None:
        """Let a version go."""
        if key in self.loaded and not self.ended.is_set():
            self.loaded.discard(key)
            self._transport.write(framed(Drop(*key)))

    async def compute(self, key: VersionKey, rows: list[list[Value]]) -> Computed:
        """Predict rows of a loaded version.

        Raises:
            ModelFailed: the model raised.
            ComputeProcessDied: the process ended.
        """
        self._numbers += 1
        answer = await self._ask(self._numbers, Compute(self._numbers, *key, rows))
        if isinstance(answer, Failed):
            raise ModelFailed(answer.why)
        assert isinstance(answer, Computed)
        return answer

    def kill(self, reason: str = "died") -> None:
        """End it at once."""
        self.reason = reason
        self._process.kill()

    async def end(self) -> None:
        """End it, and wait until it is gone."""
        self._process.kill()
        self._transport.close()
        waiting = asyncio.get_running_loop().time() + _DEATH_SECONDS
        # A killed process is gone in a moment; a thread or a signal handler to learn of it would outlast that.
        while self._process.poll() is None and asyncio.get_running_loop().time() < waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def _load(self, key: VersionKey, version: Version) -> None:
        self._numbers += 1
        answer = await self._ask(self._numbers, Load(self._numbers, version))
        assert isinstance(answer, Loaded)
        if answer.why_not is not None:
            raise NotLoaded(answer.why_not)
        self.loaded.add(key)

    def _ask(self, number: int, question: Load | Compute) -> Awaitable[Any]:
        if self.ended.is_set():
            raise ComputeProcessDied
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._transport.write(framed(question))
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is one by its methods alone

    def data_received(self, data: bytes) -> None:
        """Answers of the process."""
        try:
            for whole in self._frames.feed(data):
                self._heard(answers.decode(whole))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._transport.abort()  # what says something else is none of ours, and counts as ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # that it ended is all that matters
        """The process has ended, or was told to."""
        self.ended.set()
        for waiting in (self._ready, *self._asked.values()):
            if not waiting.done():
                waiting.set_exception(ComputeProcessDied())
                waiting.exception()  # nobody may be left who asks for it
        self._asked.clear()

    def _heard(self, answer: Answer) -> None:
        if isinstance(answer, Loaded | Computed | Failed):
            waiting = self._asked.pop(answer.number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        elif not self._ready.done():
            self._ready.set_result(None)


def spawned(theirs: socket.socket, nicer: int = NICER) -> subprocess.Popen[bytes]:
    """Start one, by the thread that uses it: the kernel ends the process when the thread that started it ends.

    Args:
        theirs: its end of the socket.
        nicer: by how much the thread that predicts gives way to others, 0 to 19.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno()), str(os.getpid()), str(nicer)],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
    )


def _environment() -> dict[str, str]:
    """What a model might read, as in the API process; but no setting of the platform, because some are secrets."""
    source = Path(ai_platform.__file__).parents[1]
    own = [str(Path(part).absolute()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
        **dict.fromkeys(_THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join([str(source), *own]),
    }
