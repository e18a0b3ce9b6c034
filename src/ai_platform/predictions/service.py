"""The straight line of a synchronous prediction: decode, look up, run where it hurts nobody, encode once."""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ai_platform.access.principal import Principal
from ai_platform.errors import ArtifactRefused, ModelFailed, ModelNotReady, Overloaded, StorageUnavailable
from ai_platform.predictions.answer import answer, encode, with_id
from ai_platform.predictions.cache import AnswerCache, cache_key
from ai_platform.predictions.directory import ModelDirectory
from ai_platform.predictions.identity import new_id
from ai_platform.predictions.instances import Instances
from ai_platform.predictions.prediction_log import PredictionLog
from ai_platform.predictions.prepared import PreparedModel
from ai_platform.runtimes.runtime import Outputs
from ai_platform.settings import Settings
from ai_platform.telemetry import CACHE

# Below this, handing a call to a thread costs more than the call; above it, the loop must not be held up.
LOOP_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Answer:
    """An encoded result object with how it came about.

    Attributes:
        body: JSON bytes.
        cache: `hit`, `miss` or `bypass`.
    """

    body: bytes
    cache: str


class PredictionService:
    """Answers synchronous predictions; needs neither Redis nor PostgreSQL once a model is loaded.

    Args:
        settings: the platform's settings.
        directory: which model answers to a name.
    """

    def __init__(self, settings: Settings, directory: ModelDirectory) -> None:
        self._directory = directory
        self._default = settings.models.default
        self._cache = AnswerCache(settings)
        self._log = PredictionLog(settings, "api")
        self._waiting = 0
        self._most_waiting = settings.api.predictions_waiting
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="predict")
        # Apart from the threads that predict, so that a model that takes long to load delays no other's answer.
        self._loading = ThreadPoolExecutor(max_workers=2, thread_name_prefix="load")
        self._load_seconds = settings.models.load_seconds

    def start(self) -> None:
        """Begin to measure what a look-up in the cache costs, and to write the prediction log."""
        self._cache.start()
        self._log.start()

    async def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._loading.shutdown(wait=False, cancel_futures=True)
        await self._cache.close()
        self._log.stop()

    def current(self, name: str | None, alias: str, caller: bytes | None) -> PreparedModel:
        """The version that answers for an alias, from memory; by default the default model's.

        Args:
            name: the model's name, or None.
            alias: the alias.
            caller: what keeps one caller on one version, where an alias names several.

        Raises:
            ModelNotFound: there is no such model or alias.
            ModelNotReady: it cannot predict now.
        """
        return self._directory.current(name or self._default, alias, caller)

    async def pinned(self, name: str, version: int) -> PreparedModel:
        """A given version, loaded first if nothing named it lately.

        Raises:
            ModelNotFound: there is no such version.
            ModelNotReady: it cannot predict now, or is not loaded within `models.load_seconds`.
        """
        held = self._directory.held(name, version)
        if held is not None:
            return held
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._load_seconds):
                return await loop.run_in_executor(self._loading, self._directory.load, name, version)
        except TimeoutError:
            raise ModelNotReady(f"version {version} of {name!r} is still loading") from None
        except (ArtifactRefused, StorageUnavailable) as error:
            raise ModelNotReady(f"version {version} of {name!r} cannot be loaded now") from error

    async def predict(
        self, prepared: PreparedModel, body: bytes, charge: Callable[[int], None], principal: Principal
    ) -> Answer:
        """Answer one body, and note it if it is its turn.

        Args:
            prepared: the version that answers.
            body: the request's body.
            charge: called with the number of rows before anything is computed; what it raises refuses them.
            principal: who asks, for the prediction log.

        Raises:
            InvalidJson: the body is not strict JSON.
            InvalidInput: the body does not match the model's signature.
            ModelFailed: the model raised.
            Overloaded: too many predictions of costly models wait already.
        """
        begun = time.perf_counter()
        instances = prepared.decoder.decode(body)
        rows = len(instances.rows)
        charge(rows)
        prediction_id = new_id()
        try:
            encoded, cache = await self._find_or_run(prepared, instances)
        except ModelFailed as error:
            self._log.note(
                prepared, body, None,
                prediction_id=prediction_id, rows=rows, begun=begun, principal=principal, code=error.code,
            )  # fmt: skip
            raise
        self._log.note(
            prepared, body, encoded,
            prediction_id=prediction_id, rows=rows, begun=begun, principal=principal, cache=cache,
        )  # fmt: skip
        return Answer(with_id(encoded, str(prediction_id)), cache)

    async def _find_or_run(self, prepared: PreparedModel, instances: Instances) -> tuple[bytes, str]:
        if self._cache.bypasses(prepared):
            CACHE.labels("bypass").inc()
            return await self._run(prepared, instances), "bypass"
        key = cache_key(prepared, instances)
        kept = await self._cache.get(key)
        if kept is not None:
            return kept, "hit"
        encoded = await self._run(prepared, instances)
        self._cache.keep(key, encoded)
        return encoded, "miss"

    async def _run(self, prepared: PreparedModel, instances: Instances) -> bytes:
        if prepared.cost_seconds * len(instances.rows) < LOOP_SECONDS:
            outputs = prepared.predict(instances, "sync")
        else:
            outputs = await self._run_in_thread(prepared, instances)
        return encode(answer(prepared.served, outputs, single=instances.single))

    async def _run_in_thread(self, prepared: PreparedModel, instances: Instances) -> Outputs:
        if self._waiting >= self._most_waiting:
            raise Overloaded("too many predictions wait; try again")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, prepared.predict, instances, "sync")
        finally:
            self._waiting -= 1
