"""The steps of a prediction, in their order, for every face and protocol.

A face identifies its caller (`Authorizer.identify`, `Caller.admit`), and then takes these steps: `authorize` before
anything of the request is read, `read`, and `predict` or `submit`. The fast path of HTTP takes `held`, `authorize`,
`read_now` and `predict_at_once`, none of which waits.
"""

from collections.abc import Callable

from ai_platform.codecs.codec import Codec
from ai_platform.jobs.acceptance import JobAcceptance, request_hash
from ai_platform.jobs.submission import Accepted
from ai_platform.predictions.ids import new_text
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.serving.authorizer import Authorizer
from ai_platform.serving.caller import Caller
from ai_platform.serving.decoding import Decoding
from ai_platform.serving.predictor import Answer, PredictionRequest, Predictor
from ai_platform.serving.resolver import Resolver, Target


class Serving:
    """Predicts, or accepts jobs.

    Args:
        authorizer: who may.
        resolver: which version.
        decoding: bodies that take long to decode.
        predictor: synchronous predictions.
        acceptance: jobs.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        resolver: Resolver,
        decoding: Decoding,
        predictor: Predictor,
        acceptance: JobAcceptance,
    ) -> None:
        self.authorizer = authorizer
        self.held = resolver.held
        self.predict_at_once = predictor.predict_at_once
        self._resolver = resolver
        self._decoding = decoding
        self._predictor = predictor
        self._acceptance = acceptance

    def authorize(self, caller: Caller, target: Target) -> None:
        """Refuse who may not predict with the model that is named, whether or not it exists.

        Raises:
            Forbidden: the key has not the scope, or not that model.
        """
        self.authorizer.authorize_prediction(caller.principal, target.model)

    def read_now(self, caller: Caller, prepared: PreparedModel, codec: Codec, body: bytes) -> PredictionRequest:
        """Decode and charge a body of at most `decoding.LARGE_BYTES`, for a version that is in memory.

        Raises:
            PlatformError: the body is not the model's, or there is no room for its rows.
        """
        instances = codec.decode_fast(prepared, body)
        if instances is None:
            instances = codec.decode_slow(prepared, body)
        if caller.ticket is not None:
            caller.charge(len(instances.rows))
        return PredictionRequest(prepared, instances, body, caller.principal, codec)

    async def read(
        self,
        caller: Caller,
        target: Target,
        codec: Codec,
        body: bytes,
        *,
        affinity: bytes | None = None,
        deadline: float | None = None,
    ) -> PredictionRequest:
        """Find the version, decode the body for it, and charge its rows.

        Args:
            caller: who was authorized for the target.
            target: which version is named.
            codec: the protocol of the body and of the answer.
            body: as it was sent.
            affinity: what keeps one caller on one version, where an alias names several.
            deadline: on the monotonic clock, in seconds; None for none.

        Raises:
            PlatformError: there is no such version, the body is not the model's, or there is no room for its rows.
        """
        prepared = await self._resolver.load(target, affinity, deadline)
        instances = await self._decoding.decoded(codec, prepared, body)
        caller.charge(len(instances.rows))
        return PredictionRequest(prepared, instances, body, caller.principal, codec)

    async def predict(
        self,
        request: PredictionRequest,
        *,
        deadline: float | None = None,
        is_gone: Callable[[], bool] | None = None,
    ) -> Answer:
        """The answer: computed here and now where that costs microseconds, else from the cache or beside the loop.

        Args:
            request: what was read.
            deadline: on the monotonic clock, in seconds; None for none.
            is_gone: whether the caller has left.

        Raises:
            PlatformError: the model failed, is too slow, or too many wait for it.
        """
        encoded = self.predict_at_once(request, new_text(), deadline)
        if encoded is not None:
            return Answer(encoded, "bypass")
        return await self.predict_later(request, deadline=deadline, is_gone=is_gone)

    async def predict_later(
        self,
        request: PredictionRequest,
        *,
        deadline: float | None = None,
        is_gone: Callable[[], bool] | None = None,
    ) -> Answer:
        """The answer to what `predict_at_once` has let in and not answered.

        Raises:
            PlatformError: as `predict`.
        """
        return await self._predictor.predict(request, deadline, is_gone)

    async def submit(
        self,
        request: PredictionRequest,
        target: Target,
        *,
        key: str | None = None,
        expires_in: float | None = None,
    ) -> Accepted:
        """Make a job of what was read; returns when it is committed.

        Args:
            request: what was read.
            target: which version was named, which an Idempotency-Key stands for with the body.
            key: the Idempotency-Key, if one was sent.
            expires_in: seconds after which the job expires if it is queued then; None for never.

        Raises:
            PlatformError: as `JobAcceptance.accept`.
        """
        return await self._acceptance.accept(
            request.prepared,
            request.instances,
            owner=request.principal.owner,
            key=key,
            request_hash=request_hash(request.prepared.served.name, target.version, request.body),
            expires_in=expires_in,
            waiting_jobs=request.principal.waiting_jobs,
        )
