"""Threads that load versions: a few at a time, and one more for each that takes long, so that none waits for it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from ai_platform.predictions.compute.pending import VersionKey
from ai_platform.predictions.compute.trial import TrialProcess
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.telemetry import logger

log = logger(__name__)

Load = Callable[[VersionKey, TrialProcess], PreparedModel]

# Loads at a time, while none is slow: loading is work of a core.
_THREADS = 2
# A load that takes longer counts as slow, and the next one begins beside it.
_SLOW_SECONDS = 1.5
# Slow ones included; each may hold a process that tries a version.
_MOST_THREADS = 12
# A thread without work keeps its process that tries versions for the next one this long.
_IDLE_SECONDS = 10.0


class LoadQueue:
    """Loads each version once at a time, however many ask. Thread-safe.

    Args:
        trial: makes a process that tries versions, one for each thread.
        load: loads a version, in one of the threads.
    """

    def __init__(self, trial: Callable[[], TrialProcess], load: Load) -> None:
        self._trial = trial
        self._load = load
        self._waiting: dict[VersionKey, Future[PreparedModel]] = {}
        self._running: dict[VersionKey, tuple[float, Future[PreparedModel]]] = {}
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._changed = threading.Condition()

    def ask(self, key: VersionKey, *, first: bool = False) -> "Future[PreparedModel]":
        """Have a version loaded; whoever asks for the same one shares it.

        Args:
            key: the version.
            first: whether it comes before all others that wait.

        Returns:
            What will hold the loaded version, or what loading raised. It must not be cancelled.
        """
        with self._changed:
            running = self._running.get(key)
            if running is not None:
                return running[1]
            future = self._waiting.get(key)
            if future is None:
                future = Future()
                self._waiting = {key: future, **self._waiting} if first else {**self._waiting, key: future}
            self._enlarge()
            self._changed.notify()
            return future

    def look(self) -> None:
        """Begin what waits only because of slow ones. Called now and then."""
        with self._changed:
            self._enlarge()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or is being loaded."""
        with self._changed:
            return not self._waiting and not self._running

    def close(self) -> None:
        """Begin nothing any more; what is being loaded ends with the process."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _enlarge(self) -> None:
        """Start a thread for the first that waits, if all that are quick are busy."""
        now = time.monotonic()
        slow = sum(1 for begun, _ in self._running.values() if now - begun > _SLOW_SECONDS)
        wanted = min(_MOST_THREADS, slow + min(_THREADS, len(self._waiting) + len(self._running) - slow))
        while self._threads < wanted and self._idle < len(self._waiting) and not self._closed:
            self._threads += 1
            threading.Thread(target=self._work, name="load-version", daemon=True).start()

    def _work(self) -> None:
        trial = self._trial()
        try:
            while (taken := self._take()) is not None:
                self._run(*taken, trial)
        finally:
            trial.close()
            with self._changed:
                self._threads -= 1

    def _take(self) -> "tuple[VersionKey, Future[PreparedModel]] | None":
        with self._changed:
            until = time.monotonic() + _IDLE_SECONDS
            while not self._waiting:
                left = until - time.monotonic()
                if left <= 0 or self._closed:
                    return None
                self._idle += 1
                try:
                    self._changed.wait(min(left, 1.0))
                finally:
                    self._idle -= 1
            key = next(iter(self._waiting))
            future = self._waiting.pop(key)
            self._running[key] = (time.monotonic(), future)
            self._enlarge()
            return key, future

    def _run(self, key: VersionKey, future: "Future[PreparedModel]", trial: TrialProcess) -> None:
        try:
            loaded = self._load(key, trial)
        except BaseException as error:  # noqa: BLE001  # a model's code may raise anything; whoever asked is told
            self._end(key)
            future.set_exception(error)
        else:
            self._end(key)
            future.set_result(loaded)

    def _end(self, key: VersionKey) -> None:
        with self._changed:
            self._running.pop(key, None)
