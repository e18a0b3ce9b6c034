"""Inside a compute process: versions are loaded by the one loader, and rows predicted, one call at a time."""

import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from ai_platform.errors import ArtifactRefused, PlatformError
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.loader import Loader, ServedModel
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
    Ready,
    frame,
    questions,
)
from ai_platform.settings import LogSettings
from ai_platform.telemetry import configure_logging, logger

log = logger(__name__)

_CHUNK = 262_144


def serve(channel: socket.socket, nicer: int) -> None:
    """Answer until the other end is closed.

    Args:
        channel: to the process that asks.
        nicer: by how much more the thread that predicts gives way to others than those that start and load.
    """
    asked = _questions(channel)
    hello = next(asked, None)
    if not isinstance(hello, Hello):
        return
    serving = _Serving(channel, hello)
    os.nice(nicer)  # on Linux of this thread alone, and of those that it starts (setpriority(2))
    serving.send(Ready())
    for question in asked:
        if isinstance(question, Compute):
            serving.compute(question)
        elif isinstance(question, Load):
            serving.load(question)
        elif isinstance(question, Drop):
            serving.drop(question)


def _questions(channel: socket.socket) -> Iterator[Any]:
    frames = Frames()
    while data := channel.recv(_CHUNK):
        for whole in frames.feed(data):
            yield questions.decode(whole)


class _Serving:
    def __init__(self, channel: socket.socket, hello: Hello) -> None:
        configure_logging(LogSettings.model_validate({"format": hello.log_format, "level": hello.log_level}), "compute")
        self._loader = Loader(hello.loader, _never_fetched)
        self._channel = channel
        self._sending = threading.Lock()
        self._served: dict[tuple[str, int], ServedModel] = {}
        # Apart from the thread that predicts, so that a model which takes long to load delays no other's answer.
        self._to_load: queue.SimpleQueue[Load] = queue.SimpleQueue()
        threading.Thread(target=self._load_for_ever, name="load", daemon=True).start()

    def send(self, answer: Answer) -> None:
        self._send(frame(answer))

    def compute(self, asked: Compute) -> None:
        served = self._served.get((asked.model, asked.version))
        if served is None:
            self.send(Failed(asked.number, "the version is not in the memory of the process that computes it"))
            return
        begun = time.perf_counter()
        try:
            outputs = served.loaded.predict(asked.rows)
            misfit = outputs.misfit(len(asked.rows))
        except BaseException as error:  # noqa: BLE001  # whatever a model raises, SystemExit too, is its failure
            self.send(Failed(asked.number, f"the model raised {type(error).__name__} for this input"))
            return
        seconds = time.perf_counter() - begun
        if misfit is not None:
            self.send(Failed(asked.number, misfit))
            return
        try:
            encoded = frame(Computed(asked.number, seconds, outputs))
        except Exception:
            log.exception("a model's outputs cannot be encoded", model=asked.model, version=asked.version)
            self.send(Failed(asked.number, "the model's outputs do not fit its signature"))
            return
        self._send(encoded)

    def load(self, asked: Load) -> None:
        self._to_load.put(asked)

    def drop(self, asked: Drop) -> None:
        self._served.pop((asked.model, asked.version), None)

    def _send(self, encoded: bytes) -> None:
        with self._sending:
            self._channel.sendall(encoded)

    def _load_for_ever(self) -> None:
        while True:
            asked = self._to_load.get()
            version = asked.version
            try:
                self._served[version.model, version.version] = self._loader.load(version)
            except BaseException as error:  # noqa: BLE001  # whatever a model raises, SystemExit too, is its failure
                why = error.detail if isinstance(error, PlatformError) else f"it cannot be loaded: {error_text(error)}"
                self.send(Loaded(asked.number, why))
            else:
                self.send(Loaded(asked.number, None))


def _never_fetched(_sha256: bytes) -> Iterator[bytes]:
    """A compute process has no connection to PostgreSQL: the API process filled the folder before it asked."""
    raise ArtifactRefused("the artifact is no longer in the folder of verified artifacts")
