"""Answers kept in Redis by model version and canonical input; a Redis that is away costs a request nothing."""

import asyncio
import hashlib
import statistics
import time

import redis.exceptions

from ai_platform.inputs.instances import Instances
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.processes.background import TaskLoop
from ai_platform.settings import CacheSettings
from ai_platform.storage.redis import KEY_PREFIX, Redis
from ai_platform.telemetry import CACHE, logger

log = logger(__name__)

PINGS = 5
MEASURE_SECONDS = 30.0
# Until a round trip was measured: what one costs on a machine's own loopback.
ASSUMED_ROUND_TRIP = 0.0003


class AnswerCache:
    """Looks up and keeps encoded answers (without their ids).

    Args:
        redis: which keeps them.
        cache: mode and lifetime.
    """

    def __init__(self, redis: Redis, cache: CacheSettings) -> None:
        self._mode = cache.mode
        self._ttl = cache.ttl_seconds
        self._redis = redis.async_client()
        self._breaker = redis.breaker()
        self._round_trip = ASSUMED_ROUND_TRIP
        self._measuring = TaskLoop(
            "cache", self._measure_again, failure="Redis not measured", pause=MEASURE_SECONDS, asks_redis=True
        )
        self._writes: set[asyncio.Task[None]] = set()

    def bypasses(self, prepared: PreparedModel) -> bool:
        """Whether answers of this model are not worth a round trip, or the cache is off or away."""
        if self._mode == "off" or (self._mode == "auto" and prepared.cost_seconds < self._round_trip):
            return True
        return self._breaker.open

    def start(self) -> None:
        """Begin to measure the round trip now and then; the start of a process is its busiest moment."""
        self._measuring.start()

    async def _measure_again(self) -> float:
        await self.measure()
        return MEASURE_SECONDS

    async def measure(self) -> None:
        """Measure a round trip (median of 5 PINGs), for `auto`; a Redis that is away changes nothing."""
        times = []
        try:
            for _ in range(PINGS + 1):
                begun = time.perf_counter()
                await self._redis.ping()
                times.append(time.perf_counter() - begun)
        except (redis.exceptions.RedisError, OSError, TimeoutError):
            return
        self._round_trip = statistics.median(times[1:])  # the first one paid for the connection

    async def get(self, key: str) -> bytes | None:
        """The encoded answer, or None."""
        try:
            found = await self._redis.get(key)
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return None
        CACHE.labels("miss" if found is None else "hit").inc()
        assert not isinstance(found, str)  # the client was not asked to decode
        return found

    def keep(self, key: str, encoded: bytes) -> None:
        """Store an answer beside the request, which does not wait for it."""
        if self._breaker.open:
            return
        task = asyncio.get_running_loop().create_task(self._keep(key, encoded))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def close(self) -> None:
        """Close the connections."""
        await self._measuring.close()
        await self._redis.aclose()

    async def _keep(self, key: str, encoded: bytes) -> None:
        try:
            await self._redis.set(key, encoded, ex=self._ttl)
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._breaker.trip()
        CACHE.labels("error").inc()
        log.warning("cache not reached", why=type(error).__name__)


def cache_key(prepared: PreparedModel, instances: Instances, protocol: str) -> str:
    """Key of an answer: the artifact's sha256, the canonical input and the protocol, hashed together."""
    digest = hashlib.sha256(bytes.fromhex(prepared.served.manifest.sha256))
    digest.update(
        f"{prepared.served.name}:{prepared.served.version}:{prepared.encoder.non_finite}:{protocol}:".encode()
    )
    digest.update(instances.encode())
    return f"{KEY_PREFIX}cache:{digest.hexdigest()}"
