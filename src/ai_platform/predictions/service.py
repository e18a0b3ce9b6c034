"""The straight line of a synchronous prediction: decode, look up, run where it hurts nobody, encode once."""

import asyncio
import time
import uuid
from collections.abc import Callable

import msgspec

from ai_platform.access.principal import Principal
from ai_platform.errors import ArtifactRefused, DeadlineExceeded, ModelFailed, ModelNotReady, StorageUnavailable
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.cache import AnswerCache, cache_key
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.predictions.compute.computing import Computing
from ai_platform.predictions.ids import new_text
from ai_platform.predictions.log.recorder import PredictionLog
from ai_platform.predictions.model.answer import with_id
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.settings import Settings
from ai_platform.telemetry import CACHE

# A request for a version that is new here waits this long for it, and gets 503 then; most are loaded much sooner.
_FIRST_LOAD_SECONDS = 5.0


class Answer(msgspec.Struct, frozen=True):
    """An encoded result object with how it came about.

    Attributes:
        body: JSON bytes.
        cache: `hit`, `miss` or `bypass`.
    """

    body: bytes
    cache: str


class PredictionRequest(msgspec.Struct, frozen=True):
    """A prediction that is asked for: let in, read and checked, and not made yet.

    Attributes:
        prepared: the version that answers.
        instances: its input.
        body: the same as it was sent.
        principal: who asks.
    """

    prepared: PreparedModel
    instances: Instances
    body: bytes
    principal: Principal


class PredictionService:
    """Answers synchronous predictions; needs neither Redis nor PostgreSQL once a model is loaded.

    Args:
        settings: the platform's settings.
        directory: which model answers to a name.
        computing: where what is too costly for the event loop is computed.
    """

    def __init__(self, settings: Settings, directory: ModelDirectory, computing: Computing) -> None:
        self._directory = directory
        self._default = settings.models.default
        self._cache = AnswerCache(settings)
        self._log = PredictionLog(settings, "api")
        self._computing = computing
        self._load_seconds = settings.models.load_seconds

    def start(self) -> None:
        """Belong to the running event loop, and begin to write the prediction log."""
        self._computing.start()
        self._cache.start()
        self._log.start()

    async def close(self) -> None:
        """Let go of threads and connections."""
        await self._computing.close()
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

    async def until_loaded(self, name: str | None, alias: str) -> None:
        """Wait a little while what an alias names is being loaded for the first time; no longer when it fails."""
        until = time.monotonic() + _FIRST_LOAD_SECONDS
        while self._directory.is_loading(name or self._default, alias) and time.monotonic() < until:  # noqa: ASYNC110  # threads bring it about
            await asyncio.sleep(0.02)

    def held(self, name: str, version: int) -> PreparedModel | None:
        """A given version, if it is in memory."""
        return self._directory.held(name, version)

    async def pinned(self, name: str, version: int, deadline: float | None = None) -> PreparedModel:
        """A given version, loaded first if nothing named it lately.

        Args:
            name: the model's name.
            version: its number.
            deadline: of the request, on the monotonic clock, in seconds.

        Raises:
            DeadlineExceeded: the deadline passed first.
            ModelNotFound: there is no such version.
            ModelNotReady: it cannot predict now, or is not loaded within `models.load_seconds`.
        """
        held = self._directory.held(name, version)
        if held is not None:
            return held
        try:
            async with asyncio.timeout(_shorter(self._load_seconds, deadline)):
                # Whoever else asks for it waits for the same load, so one caller who leaves must not end it.
                return await asyncio.shield(asyncio.wrap_future(self._directory.ask(name, version)))
        except TimeoutError:
            _require_time(deadline)
            raise ModelNotReady(f"version {version} of {name!r} is still loading") from None
        except (ArtifactRefused, StorageUnavailable) as error:
            raise ModelNotReady(f"version {version} of {name!r} cannot be loaded now: {error.detail}") from error

    def at_once(self, asked: PredictionRequest, number: str, deadline: float | None = None) -> bytes | None:
        """The encoded result object, computed here and now; None if that would hold up the loop, or the cache is asked.

        Args:
            asked: what is to be predicted.
            number: the prediction's id.
            deadline: of the request, on the monotonic clock, in seconds; None for none.

        Raises:
            ModelFailed: the model raised, or its outputs are nothing that an answer can hold.
            Overloaded: it would have to wait where too many wait already, or beyond its deadline.
            DeadlineExceeded: the deadline has passed.
        """
        _require_time(deadline)
        prepared, instances = asked.prepared, asked.instances
        if len(instances.rows) > prepared.placement.loop_rows:
            # Who is refused is told so here, where it costs least, and before the cache is asked: while its queue is
            # full, a look-up for each of those who are refused would cost what others wait for.
            self._computing.require_room(prepared, instances, deadline)
            return None
        if not self._cache.bypasses(prepared):
            return None
        begun = time.perf_counter()
        try:
            outputs = prepared.predict_here(instances)
            encoded = prepared.encoder.encode(outputs, single=instances.single)
        except ModelFailed as error:
            if self._log.is_due():
                self._keep(asked, number, begun, None, code=error.code)
            raise
        if self._log.is_due():
            self._keep(asked, number, begun, encoded, cache="bypass")
        return with_id(encoded, number)

    async def later(
        self, asked: PredictionRequest, deadline: float | None = None, is_gone: Callable[[], bool] | None = None
    ) -> Answer:
        """The answer to what `at_once` has let in and not answered: from the cache, or computed apart from the loop.

        Args:
            asked: what is to be predicted.
            deadline: of the request, on the monotonic clock, in seconds; None for none.
            is_gone: whether the caller has closed the connection.

        Raises:
            PlatformError: whatever `Computing.run` raises.
        """
        begun = time.perf_counter()
        number = new_text()
        try:
            encoded, cache = await self._find_or_run(asked.prepared, asked.instances, deadline, is_gone)
        except ModelFailed as error:
            if self._log.is_due():
                self._keep(asked, number, begun, None, code=error.code)
            raise
        if self._log.is_due():
            self._keep(asked, number, begun, encoded, cache=cache)
        return Answer(with_id(encoded, number), cache)

    def _keep(
        self, asked: PredictionRequest, number: str, begun: float, output: bytes | None, *,
        cache: str | None = None, code: str | None = None,
    ) -> None:  # fmt: skip
        self._log.keep(
            asked.prepared, asked.body, output,
            prediction_id=uuid.UUID(number), rows=len(asked.instances.rows), begun=begun, principal=asked.principal,
            cache=cache, code=code,
        )  # fmt: skip

    async def _find_or_run(
        self,
        prepared: PreparedModel,
        instances: Instances,
        deadline: float | None,
        is_gone: Callable[[], bool] | None,
    ) -> tuple[bytes, str]:
        if self._cache.bypasses(prepared):
            CACHE.labels("bypass").inc()
            return await self._run(prepared, instances, deadline, is_gone), "bypass"
        key = cache_key(prepared, instances)
        kept = await self._cache.get(key)
        if kept is not None:
            return kept, "hit"
        encoded = await self._run(prepared, instances, deadline, is_gone)
        self._cache.keep(key, encoded)
        return encoded, "miss"

    async def _run(
        self,
        prepared: PreparedModel,
        instances: Instances,
        deadline: float | None,
        is_gone: Callable[[], bool] | None,
    ) -> bytes:
        if len(instances.rows) <= prepared.placement.loop_rows:
            outputs = prepared.predict(instances, "sync")
        else:
            outputs = await self._computing.run(prepared, instances, deadline, is_gone)
        return prepared.encoder.encode(outputs, single=instances.single)


def _shorter(seconds: float, deadline: float | None) -> float:
    return seconds if deadline is None else min(seconds, max(0.0, deadline - time.monotonic()))


def _require_time(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded("the deadline passed before the prediction was made")
