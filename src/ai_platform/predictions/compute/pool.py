"""The compute processes of an API process: started when a model first needs them, kept running, given work."""

import asyncio
import os
import time
from collections.abc import Callable

from ai_platform.errors import ModelFailed, ModelNotReady, ModelTooSlow
from ai_platform.models.registry.manifest import limit_name
from ai_platform.models.registry.versions import Version
from ai_platform.predictions.compute.ipc import Hello
from ai_platform.predictions.compute.pending import VersionKey
from ai_platform.predictions.compute.process import ComputeProcess, ComputeProcessDied, NotLoaded
from ai_platform.predictions.compute.slots import SlotLost
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.processes.backoff import Backoff
from ai_platform.runtimes.base.runtime import Outputs, Value
from ai_platform.settings import ApiSettings
from ai_platform.telemetry import (
    COMPUTE_DEATHS,
    COMPUTE_PROCESSES,
    LOOP_FAILURES,
    PREDICTION_SECONDS,
    PREDICTIONS,
    logger,
)

log = logger(__name__)

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
# A process that lived this long was well; the next one starts without a pause.
_WELL_SECONDS = 30.0
# Starts in a row that fail before the pool is given up until one succeeds.
_MOST_FAILED_STARTS = 3
# Processes that a version ends in a row, with no answer between them, before it rests. One row that ends processes is
# no reason to refuse the others; a version that ends each of them would leave the other versions none.
_MOST_CONSECUTIVE_ENDS = 6
_LONGEST_REST = 300.0


class ComputePool:
    """Processes that compute models which hold the GIL. Used on the event loop alone.

    Not the standard library's pool: that one breaks as a whole when a process dies, and unpickles what it is sent.

    Args:
        size: how many.
        hello: what each is told first.
        hard_limit: longest call of a version that sets none, in seconds.
        load_seconds: longest load.
        on_change: called when a process has become ready, or when the pool cannot be used.
    """

    def __init__(
        self, size: int, hello: Hello, hard_limit: float, load_seconds: float, on_change: Callable[[], None]
    ) -> None:
        self.size = size
        self._hard_limit = hard_limit
        self._hello = hello
        self._on_change = on_change
        self._versions: dict[VersionKey, Version] = {}
        self._ready: set[ComputeProcess] = set()
        self._idle: list[ComputeProcess] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._decided = asyncio.Event()
        self._failed_starts = 0
        self._load_seconds = load_seconds
        # Versions that ended the process which loaded them: a new process does not load them before somebody asks.
        self._harmful_loads: set[VersionKey] = set()
        # Processes that calls of a version ended since its last answer, and until when it rests.
        self._ended_by: dict[VersionKey, tuple[int, float]] = {}

    @property
    def slots(self) -> int:
        """Processes that are ready."""
        return len(self._ready)

    @property
    def is_broken(self) -> bool:
        """Whether no process runs, and none could be started of late."""
        return not self._ready and self._failed_starts >= _MOST_FAILED_STARTS

    @property
    def pids(self) -> list[int]:
        """Process ids of those that are ready."""
        return [process.pid for process in self._ready]

    def serves(self, key: VersionKey) -> bool:
        """Whether a version was taken up, and can be computed here."""
        return key in self._versions and not self.is_broken

    def require_well(self, key: VersionKey) -> None:
        """Refuse a version whose calls ended one process after another, for a while that doubles each time.

        Raises:
            ModelNotReady: it rests.
        """
        if self._ended_by and key in self._ended_by:
            ended, until = self._ended_by[key]
            left = until - time.monotonic()
            if left > 0:
                raise ModelNotReady(
                    f"the model ended the last {ended} processes that computed it; it is tried again in {left:.0f} s"
                )

    async def take_up(self, version: Version) -> None:
        """Have a version loaded by every process, each of which is started if need be.

        Raises:
            NotLoaded: it was refused.
            ComputeProcessDied: processes cannot be started, or end over it.
        """
        key = (version.model, version.version)
        self._versions[key] = version
        self._keep_running()
        try:
            await self._decided.wait()
            if self.is_broken:
                raise ComputeProcessDied
            await asyncio.gather(*(self._load(process, version) for process in list(self._ready)))
        except BaseException:
            self.let_go(key)
            raise

    def let_go(self, key: VersionKey) -> None:
        """Drop a version everywhere."""
        self._ended_by.pop(key, None)
        self._harmful_loads.discard(key)
        if self._versions.pop(key, None) is not None:
            for process in self._ready:
                process.drop(key)

    async def compute(self, prepared: PreparedModel, rows: list[list[Value]]) -> Outputs:
        """Predict in an idle process.

        Raises:
            SlotLost: the process ended over it, or there is none.
            ModelFailed: the model raised, or cannot be loaded any more.
            ModelTooSlow: it did not answer within its time limit; the process was ended.
        """
        if not self._idle:
            raise SlotLost(counts=False)
        process = self._idle.pop()
        served = prepared.served
        limit = served.manifest.hard_limit_seconds or self._hard_limit
        try:
            async with asyncio.timeout(limit):
                outputs = await self._computed(process, (served.name, served.version), rows)
        except TimeoutError:
            log.error("model too slow; its process is ended", model=served.name, version=served.version, limit=limit)
            self._ready.discard(process)
            process.kill("too_slow")
            why = f"the model did not answer within {limit:g} s ({limit_name(served.manifest)}); its process was ended"
            prepared.note_failure(why)
            self._note_end(prepared)
            raise ModelTooSlow(f"the model did not answer within {limit:g} s ({limit_name(served.manifest)})") from None
        except ComputeProcessDied:
            log.error("a compute process died over a call", model=served.name, version=served.version)
            prepared.note_failure("it ended the process that computed it")
            self._note_end(prepared)
            self._ready.discard(process)
            raise SlotLost(counts=True) from None
        except ModelFailed as error:
            prepared.note_failure(error.detail)
            raise
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            if process in self._ready and not process.ended.is_set():
                self._idle.append(process)
        return outputs

    async def close(self) -> None:
        """End all of them."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._failed_starts = _MOST_FAILED_STARTS
        self._decided.set()

    async def _computed(self, process: ComputeProcess, key: VersionKey, rows: list[list[Value]]) -> Outputs:
        if key not in process.loaded:
            version = self._versions.get(key)
            if version is None:
                raise ModelFailed("the version is no longer served")
            try:
                await self._load(process, version)
            except NotLoaded as error:
                raise ModelFailed(f"the version cannot be loaded: {error}") from None
        computed = await process.compute(key, rows)
        self._ended_by.pop(key, None)
        labels = (key[0], str(key[1]))
        PREDICTION_SECONDS.labels(*labels).observe(computed.seconds)
        PREDICTIONS.labels(*labels, "sync").inc(len(rows))
        return computed.outputs

    def _keep_running(self) -> None:
        if not self._keeping:
            loop = asyncio.get_running_loop()
            self._keeping = [loop.create_task(self._keep_one_running()) for _ in range(self.size)]

    async def _keep_one_running(self) -> None:
        backoff = Backoff(_SHORTEST_PAUSE, _LONGEST_PAUSE, _WELL_SECONDS)
        while True:
            begun = time.monotonic()
            try:
                await self._run_one()
            except Exception:  # the loop must live; the failure is logged and counted
                LOOP_FAILURES.labels("compute-process").inc()
                log.exception("a compute process was not kept")
            self._on_change()
            await asyncio.sleep(backoff.after(time.monotonic() - begun))

    async def _run_one(self) -> None:
        """Start a process, and be there until it ends."""
        try:
            process = await ComputeProcess.start(self._hello)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
            self._note_failed_start(error)
            return
        try:
            await self._load_all(process)
            self._failed_starts = 0
            self._ready.add(process)
            self._idle.append(process)
            self._show()
            log.info("compute process ready", child=process.pid)
            self._on_change()
            await process.ended.wait()
            COMPUTE_DEATHS.labels(process.reason).inc()
            log.warning("compute process ended; another is started", child=process.pid)
        except ComputeProcessDied as error:
            self._note_failed_start(error)
        finally:
            self._ready.discard(process)
            if process in self._idle:
                self._idle.remove(process)
            self._show()
            await process.end()

    async def _load_all(self, process: ComputeProcess) -> None:
        for key, version in list(self._versions.items()):
            if key in self._harmful_loads:
                continue
            try:
                await self._load(process, version)
            except NotLoaded as error:
                log.error("version not loaded", model=version.model, version=version.version, why=str(error))

    async def _load(self, process: ComputeProcess, version: Version) -> None:
        """Have a process load a version; one that does not within its time is ended, because it loads nothing else.

        Raises:
            NotLoaded: it was refused.
            ComputeProcessDied: the process ended over it, or was ended.
        """
        key = (version.model, version.version)
        try:
            async with asyncio.timeout(self._load_seconds):
                await process.load(version)
        except TimeoutError:
            self._harmful_loads.add(key)
            process.kill("too_slow")
            log.error("version not loaded in time; the process is ended", model=key[0], version=key[1])
            raise ComputeProcessDied from None
        except ComputeProcessDied:
            self._harmful_loads.add(key)
            raise
        self._harmful_loads.discard(key)

    def _note_end(self, prepared: PreparedModel) -> None:
        key = (prepared.served.name, prepared.served.version)
        ended = self._ended_by.get(key, (0, 0.0))[0] + 1
        beyond = ended - _MOST_CONSECUTIVE_ENDS
        rest = min(_LONGEST_REST, 2.0 ** min(beyond, 16)) if beyond >= 0 else 0.0
        self._ended_by[key] = (ended, time.monotonic() + rest)
        if rest:
            log.error("version rests: it ended one process after another", model=key[0], version=key[1], ended=ended)

    def _note_failed_start(self, error: Exception) -> None:
        self._failed_starts += 1
        COMPUTE_DEATHS.labels("not_started").inc()
        log.error("compute process not started", why=f"{type(error).__name__} {error}".strip())
        if self.is_broken:
            self._decided.set()

    def _show(self) -> None:
        COMPUTE_PROCESSES.set(len(self._ready))
        if self._ready:
            self._decided.set()


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slots_of(api: ApiSettings) -> int:
    """This API process' share of the cores, one at least."""
    return max(1, cores() // max(1, api.processes))
