"""A synchronous prediction: look up, run where it hurts nobody, encode once, log."""

import time
import uuid
from collections.abc import Callable

import msgspec

from ai_platform.access.principal import Principal
from ai_platform.codecs.codec import Codec
from ai_platform.errors import ModelFailed
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.cache import AnswerCache, cache_key
from ai_platform.predictions.compute.computing import Computing
from ai_platform.predictions.ids import new_text
from ai_platform.predictions.log.recorder import PredictionLog
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.serving.resolver import require_time
from ai_platform.telemetry import CACHE


class Answer(msgspec.Struct, frozen=True):
    """An encoded answer with how it came about.

    Attributes:
        body: bytes of the codec's protocol.
        cache: `hit`, `miss` or `bypass`.
    """

    body: bytes
    cache: str


class PredictionRequest(msgspec.Struct, frozen=True):
    """A prediction that is asked for: let in, decoded and charged, and not made yet.

    Attributes:
        prepared: the version that answers.
        instances: its input.
        body: the same as it was sent.
        principal: who asks.
        codec: the protocol of the answer.
    """

    prepared: PreparedModel
    instances: Instances
    body: bytes
    principal: Principal
    codec: Codec


class Predictor:
    """Answers synchronous predictions; needs neither Redis nor PostgreSQL.

    Args:
        cache: answers that were given before.
        log: keeps a sample of what is answered.
        computing: where what is too costly for the event loop is computed.
    """

    def __init__(self, cache: AnswerCache, log: PredictionLog, computing: Computing) -> None:
        self._cache = cache
        self._log = log
        self._computing = computing

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

    def predict_at_once(self, asked: PredictionRequest, number: str, deadline: float | None = None) -> bytes | None:
        """The encoded answer, computed here and now; None if that would hold up the loop, or the cache is asked.

        Args:
            asked: what is to be predicted.
            number: the prediction's id.
            deadline: of the request, on the monotonic clock, in seconds; None for none.

        Raises:
            ModelFailed: the model raised, or its outputs are nothing that an answer can hold.
            Overloaded: it would have to wait where too many wait already, or beyond its deadline.
            DeadlineExceeded: the deadline has passed.
        """
        require_time(deadline)
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
            encoded = asked.codec.encode(prepared, outputs, instances)
        except ModelFailed as error:
            if self._log.is_due():
                self._keep(asked, number, begun, None, code=error.code)
            raise
        if self._log.is_due():
            self._keep(asked, number, begun, encoded, cache="bypass")
        return asked.codec.with_id(encoded, number)

    async def predict(
        self, asked: PredictionRequest, deadline: float | None = None, is_gone: Callable[[], bool] | None = None
    ) -> Answer:
        """The answer to what `predict_at_once` did not answer: from the cache, or computed beside the loop.

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
            encoded, cache = await self._find_or_run(asked, deadline, is_gone)
        except ModelFailed as error:
            if self._log.is_due():
                self._keep(asked, number, begun, None, code=error.code)
            raise
        if self._log.is_due():
            self._keep(asked, number, begun, encoded, cache=cache)
        return Answer(asked.codec.with_id(encoded, number), cache)

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
        asked: PredictionRequest,
        deadline: float | None,
        is_gone: Callable[[], bool] | None,
    ) -> tuple[bytes, str]:
        if self._cache.bypasses(asked.prepared):
            CACHE.labels("bypass").inc()
            return await self._run(asked, deadline, is_gone), "bypass"
        key = cache_key(asked.prepared, asked.instances, asked.codec.name)
        kept = await self._cache.get(key)
        if kept is not None:
            return kept, "hit"
        encoded = await self._run(asked, deadline, is_gone)
        self._cache.keep(key, encoded)
        return encoded, "miss"

    async def _run(
        self,
        asked: PredictionRequest,
        deadline: float | None,
        is_gone: Callable[[], bool] | None,
    ) -> bytes:
        prepared, instances = asked.prepared, asked.instances
        if len(instances.rows) <= prepared.placement.loop_rows:
            outputs = prepared.predict(instances, "sync")
        else:
            outputs = await self._computing.run(prepared, instances, deadline, is_gone)
        return asked.codec.encode(prepared, outputs, instances)
