"""Rate limits by key and by address, decided in memory and settled with Redis beside the requests.

Each process judges by its own copy of the bucket, tells Redis twenty times a second what it has admitted, and takes
over what all processes together have used. What one has admitted beyond the limit before it knew of the others is owed:
nothing more is admitted until it is paid for. So over any time t all processes together admit at most
`burst + rate * t`, and in addition what each but one admits unseen between two settlements: once a burst after a pause,
and `rate * 0.05 s` under steady load.

With Redis away, each process keeps to its share: the limit divided by the processes that were there last.
"""

import asyncio
import math
import secrets
import time

import redis.asyncio
import redis.exceptions

from ai_platform.access.gcra import Bucket, Limit, limit_of
from ai_platform.access.principal import Principal
from ai_platform.errors import RateLimited
from ai_platform.processes.background import TaskLoop
from ai_platform.settings import AccessSettings
from ai_platform.storage.redis import KEY_PREFIX, Redis
from ai_platform.telemetry import LIMITER_DEGRADED, RATE_LIMITED, logger

log = logger(__name__)

SETTLE_SECONDS = 0.05
# How often a process says that it is there, so that the others know their share.
PRESENCE_SECONDS = 1.0
# Buckets in one call, and in memory; beyond that, addresses share one.
MOST_AT_ONCE = 500
MOST_BUCKETS = 20_000

# The longest debt of a bucket, in microseconds: above what the bounds of a limit allow, and below where `PX` overflows.
_LONGEST_DEBT = 4e18
# Redis' clock, in microseconds. Rows are added to each bucket whether there is room or not: they were admitted, the
# first of them some time ago, and what a bucket drained of since then is not to be lost. A bucket whose value is no
# number, or that cannot be read, is begun anew, and no debt is too long to be written: one bucket's fault is its own.
_SETTLE = f"""
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 5000000)
redis.call('PEXPIRE', KEYS[1], 10000)
local found = {{redis.call('ZCARD', KEYS[1])}}
for i = 2, #KEYS do
    local rows, interval, ago = ARGV[3 * i - 4], ARGV[3 * i - 3], ARGV[3 * i - 2]
    local held = redis.pcall('GET', KEYS[i])
    local before = type(held) == 'string' and tonumber(held) or 0
    if not (before < now + {_LONGEST_DEBT:.0f}) then before = 0 end
    local debt = math.max(before, now - ago) + rows * interval - now
    if not (debt < {_LONGEST_DEBT:.0f}) then debt = {_LONGEST_DEBT:.0f} end
    if debt > 0 then
        redis.pcall('SET', KEYS[i], string.format('%.0f', now + debt), 'PX', string.format('%.0f', debt / 1000 + 1000))
    end
    found[i] = string.format('%.0f', math.max(debt, 0))
end
return found
"""


class Ticket:
    """The buckets that one request takes from.

    Args:
        taking: of whom (`key`, `address`) and the bucket of each.
        share: among how many processes the limits are divided just now.
    """

    __slots__ = ("_share", "_taking")

    def __init__(self, taking: list[tuple[str, Bucket]], share: int) -> None:
        self._taking = taking
        self._share = share

    def take(self, rows: int) -> None:
        """Take rows from all of the buckets, or from none.

        Raises:
            RateLimited: one has no room; after how many seconds it has.
        """
        now = time.monotonic()
        for number, (whose, bucket) in enumerate(self._taking):
            wait = bucket.take(rows, now, self._share)
            if wait:
                for _, taken in self._taking[:number]:
                    taken.give_back(rows, self._share)
                RATE_LIMITED.labels(whose).inc()
                raise RateLimited(_sentence(whose, bucket.limit), max(1, math.ceil(wait)))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-08 and later)."""
        now = time.monotonic()
        policies, left = [], []
        for whose, bucket in self._taking:
            policies.append(f'"{whose}";{bucket.policy}')
            left.append(f'"{whose}";r={bucket.left(now)};t={max(0, math.ceil(bucket.full_until - now))}')
        return [
            (b"ratelimit-policy", ", ".join(policies).encode("ascii")),
            (b"ratelimit", ", ".join(left).encode("ascii")),
        ]


class Limiter:
    """The limits of one API process; asks Redis for nothing until a limit is in use.

    Args:
        redis: where the processes settle.
        access: limits of addresses.
    """

    def __init__(self, redis: Redis, access: AccessSettings) -> None:
        self.per_address = limit_of(access.address_rows_per_second, access.address_burst_rows)
        self._pause = redis.limits.breaker_seconds
        self._redis = redis.async_client()
        self._settle_script = self._redis.register_script(_SETTLE)
        self._buckets: dict[str, Bucket] = {}
        self._in_use = asyncio.Event()
        self._me = secrets.token_hex(8)
        self._processes = 1
        self._degraded = False
        self._present_at = -PRESENCE_SECONDS
        self._loop = TaskLoop("limiter", self._round, failure="limits not settled", pause=self._pause, asks_redis=True)

    def start(self) -> None:
        """Begin to settle."""
        self._loop.start()

    async def close(self) -> None:
        """Stop; what was not settled is forgotten."""
        await self._loop.close()
        await self._redis.aclose()

    def admit(self, principal: Principal, client: tuple[str, int] | None) -> Ticket:
        """The buckets that this caller's request takes from; none when no limit applies.

        Args:
            principal: who calls.
            client: the address and port that they call from, if it is known.
        """
        taking = []
        if self.per_address is not None and client is not None:
            taking.append(("address", self._bucket(f"address:{client[0]}", self.per_address)))
        if principal.limit is not None:
            taking.append(("key", self._bucket(f"key:{principal.key_id}", principal.limit)))
        return Ticket(taking, self._processes if self._degraded else 1)

    def _bucket(self, name: str, limit: Limit) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            self._in_use.set()
            if len(self._buckets) >= MOST_BUCKETS:
                self._forget_idle()
            if len(self._buckets) >= MOST_BUCKETS and name.startswith("address:"):
                name = "address:others"
            bucket = self._buckets.setdefault(name, Bucket(limit))
        return bucket

    def _forget_idle(self) -> None:
        now = time.monotonic()
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.idle(now)}

    async def _round(self) -> float:
        await self._in_use.wait()
        try:
            await self.settle()
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            self._degrade(error)
            return self._pause
        return SETTLE_SECONDS

    async def settle(self) -> None:
        """Tell Redis once what was admitted here, and take over what all have used.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: Redis is away.
        """
        due = [(name, bucket) for name, bucket in self._buckets.items() if bucket.unsettled]
        if not due and time.monotonic() - self._present_at < PRESENCE_SECONDS:
            return
        if self._present_at < 0 or self._degraded:
            await self._settle_some([])  # connects, so that the figures to come arrive as young as they are said to be
        self._present_at = time.monotonic()
        due = [(name, bucket) for name, bucket in self._buckets.items() if bucket.unsettled]
        for begin in range(0, max(1, len(due)), MOST_AT_ONCE):
            await self._settle_some(due[begin : begin + MOST_AT_ONCE])
        if self._degraded:
            self._degraded = False
            LIMITER_DEGRADED.set(0)
            log.info("limits are shared again", processes=self._processes)

    async def _settle_some(self, due: list[tuple[str, Bucket]]) -> None:
        keys = [f"{KEY_PREFIX}limit:processes", *(f"{KEY_PREFIX}limit:{name}" for name, _ in due)]
        arguments: list[str | int | float] = [self._me]
        told = []
        now = time.monotonic()
        for _, bucket in due:
            rows, since = self._telling(bucket), bucket.unsettled_since
            told.append((bucket, rows, since))
            arguments += [rows, bucket.limit.interval * 1e6, int((now - since) * 1e6)]
            bucket.unsettled = 0
        try:
            found = await self._settle_script(keys=keys, args=arguments)
        except BaseException:
            for bucket, rows, since in told:
                bucket.unsettled += rows
                bucket.unsettled_since = since
            raise
        answered = now + (time.monotonic() - now) / 2  # about when Redis looked at its clock
        self._processes = max(1, int(found[0]))
        for (_, bucket), ahead in zip(due, found[1:], strict=True):
            bucket.full_until = answered + int(ahead) / 1e6 + bucket.unsettled * bucket.limit.interval

    def _telling(self, bucket: Bucket) -> int:
        """Rows to tell Redis of: after an outage no more than can still be owed, as the rest was paid for meanwhile."""
        if not self._degraded:
            return bucket.unsettled
        bucket.unsettled_since = time.monotonic()
        return min(bucket.unsettled, math.ceil(bucket.limit.burst / self._processes))

    def _degrade(self, error: Exception) -> None:
        if not self._degraded:
            self._degraded = True
            LIMITER_DEGRADED.set(1)
            log.warning("limits not shared", why=type(error).__name__, share=f"1/{self._processes}")


def _sentence(whose: str, limit: Limit) -> str:
    subject = "this key" if whose == "key" else "this address"
    return f"{subject} may send {limit.rows_per_second:g} rows a second, and {limit.burst} at once"
