"""Where what is too costly for the event loop is computed: threads and processes, each behind a bounded queue."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ai_platform.errors import ArtifactRefused, ModelFailed, ModelNotReady
from ai_platform.inputs.instances import Instances
from ai_platform.models.registry.versions import Version
from ai_platform.predictions.compute.ipc import Hello
from ai_platform.predictions.compute.pending import Call, VersionKey
from ai_platform.predictions.compute.pool import ComputePool, slots_of
from ai_platform.predictions.compute.slots import Slots
from ai_platform.predictions.compute.trial import NotHere
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs, Value
from ai_platform.settings import ApiSettings
from ai_platform.telemetry import logger

log = logger(__name__)

# Compute processes that have to start first are no fault of the version that waits for them.
_START_SECONDS = 60.0


class Computing:
    """Computes apart from the event loop.

    Args:
        api: how many threads and processes there are, and what may wait for them.
        hello: what processes are told first.
        hard_limit: longest call of a version that sets none, in seconds.
        load_seconds: longest load.
    """

    def __init__(self, api: ApiSettings, hello: Hello, hard_limit: float, load_seconds: float) -> None:
        self._api = api
        self._load_seconds = load_seconds
        size = slots_of(api)
        self._make_pool = partial(ComputePool, api.compute_processes or size, hello, hard_limit, load_seconds)
        self._executor = ThreadPoolExecutor(max_workers=size, thread_name_prefix="predict")
        self._threads = Slots("threads", api, lambda: size, self._in_thread)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ComputePool
        self._processes: Slots

    def start(self) -> None:
        """Belong to the running event loop; no process is started before a model needs one."""
        self._loop = asyncio.get_running_loop()
        self._pool = self._make_pool(self._changed)
        self._processes = Slots("processes", self._api, lambda: self._pool.slots, self._in_process)

    async def close(self) -> None:
        """End all processes; whoever still waits is told."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        await self._threads.close()
        if self._loop is not None:
            self._loop = None
            await self._processes.close()
            await self._pool.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the compute processes that are ready."""
        return self._pool.pids

    def take_up(self, version: Version, prepared: PreparedModel) -> None:
        """Have a version loaded where it will be computed, before it is put in service.

        Called by the thread that loads. If no process can load it, it is computed in threads, where it delays others,
        and answers; a version whose code does not run in this process cannot.

        Raises:
            ArtifactRefused: no process could load it, and it is not to be computed in this one.
        """
        loop = self._loop
        if prepared.placement.apart != "processes" or loop is None:
            return
        loading = asyncio.run_coroutine_threadsafe(self._pool.take_up(version), loop)
        try:
            loading.result(_START_SECONDS + 2 * self._load_seconds)
        except (Exception, concurrent.futures.CancelledError) as error:  # noqa: BLE001  # whatever it was, threads remain
            loading.cancel()
            if isinstance(prepared.served.loaded, NotHere):
                why = str(error) or "it ended or did not load in time"
                raise ArtifactRefused(f"no compute process could load it: {why}") from None
            log.error(
                "version computed in threads: no process could take it up",
                model=version.model,
                version=version.version,
                why=str(error) or type(error).__name__,
            )

    def let_go(self, key: VersionKey) -> None:
        """Nothing names a version any more. Called by any thread, and returns at once."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the processes with it
                loop.call_soon_threadsafe(self._pool.let_go, key)

    def require_room(self, prepared: PreparedModel, instances: Instances, deadline: float | None = None) -> None:
        """Refuse what `run` would refuse now: before anything else is done for it, so that a refusal costs little.

        Raises:
            Overloaded, ModelNotReady: as `run`.
        """
        self._pool.require_well((prepared.served.name, prepared.served.version))
        call = Call(prepared, instances, asyncio.get_running_loop().create_future(), deadline)
        self._slots_of(call).admit(call)

    async def run(
        self,
        prepared: PreparedModel,
        instances: Instances,
        deadline: float | None = None,
        is_gone: Callable[[], bool] | None = None,
    ) -> Outputs:
        """Predict, in a slot of the place that suits the model.

        Args:
            prepared: the version.
            instances: n rows.
            deadline: on the monotonic clock, in seconds; None for none.
            is_gone: whether the caller has closed the connection; asked when the call's turn comes.

        Returns:
            n aligned outputs.

        Raises:
            Overloaded: too many wait, or it would wait too long.
            DeadlineExceeded: the deadline passed first; what was not begun is not begun.
            CallerLeft: so it did, before its turn came.
            ModelFailed: the model raised, or ended two processes.
            ModelTooSlow: it did not answer within its time limit.
            ModelNotReady: the server is stopping, or the version ended process after process and rests.
        """
        self._pool.require_well((prepared.served.name, prepared.served.version))
        answer = asyncio.get_running_loop().create_future()
        call = Call(prepared, instances, answer, deadline, is_gone)
        slots = self._slots_of(call)
        slots.submit(call)
        try:
            return await answer  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            slots.withdraw(call)
            raise

    def _slots_of(self, call: Call) -> Slots:
        return self._processes if self._pool.serves(call.key) else self._threads

    async def _in_process(self, prepared: PreparedModel, rows: list[list[Value]]) -> Outputs:
        if not self._pool.serves((prepared.served.name, prepared.served.version)):
            return await self._in_thread(prepared, rows)  # nothing names it any more, and this call still does
        return await self._pool.compute(prepared, rows)

    async def _in_thread(self, prepared: PreparedModel, rows: list[list[Value]]) -> Outputs:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, prepared.predict, Instances(rows, single=False), "sync")

    def _changed(self) -> None:
        """A process has become ready or cannot be started."""
        if not self._pool.is_broken:
            self._processes.fill()
            return
        for call in self._processes.drain():
            self._move(call)

    def _move(self, call: Call) -> None:
        """To the threads; but not what has ended a process already, because the next would be this one."""
        if call.deaths:
            call.fail(ModelFailed("the model ended the process that computed it"))
            return
        try:
            self._threads.submit(call)
        except Exception:  # noqa: BLE001  # there is no room; the caller is told so
            call.fail(ModelNotReady("no process can compute this model now"))
