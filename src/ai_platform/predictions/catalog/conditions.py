"""What has become of each version in this process: loading, loaded or failed, with the reason and the next try."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from ai_platform.errors import PlatformError, StorageUnavailable
from ai_platform.models.loading.error_text import error_text
from ai_platform.telemetry import VERSION_FAILURES, VERSIONS, logger, version_labels

log = logger(__name__)

State = Literal["loading", "loaded", "failed"]
Key = tuple[str, int]

# Pauses between two tries of a version that failed: doubled each time, because a try costs seconds of a core; bounded,
# because the cause may go away (a key that becomes trusted, a library that is installed).
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
# A neighbour that was away is no fault of the version, and may be back at once.
STORAGE_PAUSE = 1.0
# A call that failed longer ago says nothing of how the version does now.
LATELY_SECONDS = 600.0
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Condition:
    """How one version does in this process.

    Attributes:
        model: the model's name.
        version: its number.
        state: what has become of loading it.
        why: why it failed, or why its last call did; None when neither has.
        failures: loads that failed since the last one that did not.
        next_try: when it is loaded again, on the monotonic clock in seconds; 0 for no set time.
        failed_calls: calls that failed since it was loaded.
        failed_at: when the last of them did, on the monotonic clock in seconds; 0 for never.
    """

    model: str
    version: int
    state: State = "loading"
    why: str | None = None
    failures: int = 0
    next_try: float = 0.0
    failed_calls: int = 0
    failed_at: float = 0.0

    @property
    def fails_calls(self) -> bool:
        """Whether it is loaded, and a call of it failed within the last ten minutes."""
        return self.state == "loaded" and bool(self.failed_at) and time.monotonic() - self.failed_at < LATELY_SECONDS

    @property
    def rests(self) -> bool:
        """Whether it failed, and is not to be tried yet."""
        return self.state == "failed" and self.next_try > time.monotonic()

    @property
    def retry_seconds(self) -> float:
        """Seconds until it is loaded again."""
        return max(0.0, self.next_try - time.monotonic())


@dataclass
class Conditions:
    """The conditions of all versions that this process was asked for. Thread-safe."""

    _found: dict[Key, Condition] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, key: Key) -> Condition | None:
        """One version's; None when nobody asked for it."""
        return self._found.get(key)

    def all(self) -> list[Condition]:
        """Every version's, by name and number."""
        with self._lock:
            return [self._found[key] for key in sorted(self._found)]

    def loading(self, key: Key) -> None:
        """A load has begun."""
        with self._lock:
            found = self._found.get(key, Condition(*key))
            self._found[key] = replace(found, state="loading")
        self._show()

    def loaded(self, key: Key) -> None:
        """It can answer."""
        with self._lock:
            self._found[key] = Condition(*key, state="loaded")
        self._show()

    def failed(self, key: Key, error: BaseException) -> Condition:
        """A load failed; it is named in log and metrics, and rests before the next."""
        if isinstance(error, StorageUnavailable):
            return self._postponed(key, error)
        why = reason_of(error)
        with self._lock:
            before = self._found.get(key, Condition(*key))
            failures = before.failures + 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
            found = Condition(*key, state="failed", why=why, failures=failures, next_try=time.monotonic() + pause)
            self._found[key] = found
        VERSION_FAILURES.labels(*version_labels(*key), "load").inc()
        log.error(
            "version not taken up; what was served goes on",
            model=key[0], version=key[1], why=why, failures=failures, next_try_in=pause,
        )  # fmt: skip
        self._show()
        return found

    def call_failed(self, key: Key, why: str) -> None:
        """A call of a loaded version failed. Logged when it is the first, and then each time their number doubles."""
        with self._lock:
            before = self._found.get(key)
            if before is None:
                return
            calls = before.failed_calls + 1
            self._found[key] = replace(
                before, why=why[:_LONGEST_REASON], failed_calls=calls, failed_at=time.monotonic()
            )
        VERSION_FAILURES.labels(*version_labels(*key), "call").inc()
        if calls & (calls - 1) == 0:
            log.error("a call of the version failed", model=key[0], version=key[1], why=why, failed_calls=calls)

    def forget(self, key: Key) -> None:
        """It is not there any more."""
        with self._lock:
            self._found.pop(key, None)
        self._show()

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget all versions but these."""
        wanted = set(keys)
        with self._lock:
            # What rests after a failure is remembered until then, also where a request alone asked for it.
            self._found = {
                key: found
                for key, found in self._found.items()
                if key in wanted or found.state == "loading" or found.rests
            }
        self._show()

    def _postponed(self, key: Key, error: PlatformError) -> Condition:
        with self._lock:
            before = self._found.get(key, Condition(*key))
            found = replace(before, state="failed", why=error.detail, next_try=time.monotonic() + STORAGE_PAUSE)
            self._found[key] = found
        if before.why != error.detail:
            log.warning("version not loaded yet", model=key[0], version=key[1], why=error.detail)
        self._show()
        return found

    def _show(self) -> None:
        states = [found.state for found in self.all()]
        for state in ("loading", "loaded", "failed"):
            VERSIONS.labels(state).set(states.count(state))


def reason_of(error: BaseException) -> str:
    """Why a load failed, as one sentence of bounded length."""
    said = error.detail if isinstance(error, PlatformError) else error_text(error)
    return " ".join(said.split())[:_LONGEST_REASON]
