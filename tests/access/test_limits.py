"""Rate limits: what is admitted of ten times as much, by one process and by two, with Redis and without."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
import redis

from access.conftest import Guarded
from access.load import offer
from ai_platform.access.gcra import Limit
from ai_platform.access.limiter import SETTLE_SECONDS, Limiter
from ai_platform.access.principal import Principal
from ai_platform.errors import RateLimited
from ai_platform.settings import Settings
from ai_platform.storage.redis import KEY_PREFIX, Redis
from harness import SAMPLE

RATE, BURST = 40, 20
SECONDS = float(os.environ.get("LIMIT_SECONDS", "2"))
Story = Callable[[Limiter, Limiter], Awaitable[None]]
CALLER = Principal("somebody", "somebody", frozenset(), limit=Limit(200, 50))


@pytest.fixture(scope="module")
def limited(guarded: Guarded) -> Guarded:
    for name in ("for-one", "for-two"):
        guarded.make(name, rows_per_second=RATE, burst_rows=BURST)
    guarded.make("slow", rows_per_second=0.01, burst_rows=3)
    guarded.make("unlimited")
    guarded.until_known("unlimited")  # the last one: the others were read with it, and nothing was taken of them
    return guarded


@pytest.mark.parametrize(("name", "processes"), [("for-one", 1), ("for-two", 2)])
def test_of_ten_times_the_limit_what_it_allows_is_admitted(limited: Guarded, name: str, processes: int) -> None:
    ports = [platform.port for platform in limited.platforms[:processes]]
    seen = offer(ports, limited.texts[name], 10 * RATE, SECONDS)
    allowed = seen.allowed(RATE, BURST)
    print(f"{processes} processes: {len(seen.admitted)} admitted of {allowed:.1f} allowed, {seen.refused} refused")
    assert abs(len(seen.admitted) - allowed) <= 0.05 * allowed
    assert seen.refused > 4 * len(seen.admitted)


def test_a_refusal_says_when_to_come_again_and_every_answer_what_is_left(limited: Guarded) -> None:
    many = {"instances": [SAMPLE["features"]] * 2}
    first = limited.call("POST", "/predict/", "unlimited", json=many)
    assert "ratelimit" not in first.headers
    refused = limited.call("POST", "/predict/", "slow", json={"instances": [SAMPLE["features"]] * 3})
    while refused.status_code == 200:
        refused = limited.call("POST", "/predict/", "slow", json=SAMPLE)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert refused.headers["ratelimit-policy"] == '"key";q=3;w=300'
    assert refused.headers["ratelimit"].startswith('"key";r=0;t=')
    other = limited.call("GET", "/jobs", "slow")
    assert other.status_code == 429, "a look costs a row like any other request"


def test_what_is_refused_is_told_to_prometheus(limited: Guarded) -> None:
    text = limited.call("GET", "/metrics", "unlimited").text
    assert 'aip_rate_limited_total{by="key"}' in text
    assert "aip_limiter_degraded 0.0" in text


@pytest.fixture
def pair(settings: Settings) -> Callable[[Story], None]:
    """Two limiters over one Redis, as two processes have them."""

    def run(story: Story) -> None:
        async def play() -> None:
            limiters = [Limiter(Redis.of(settings), settings.access) for _ in range(2)]
            for limiter in limiters:
                limiter.start()
            try:
                await story(*limiters)
            finally:
                for limiter in limiters:
                    await limiter.close()

        asyncio.run(play())

    return run


def admitted(limiter: Limiter, rows: int = 1, caller: Principal = CALLER) -> bool:
    ticket = limiter.admit(caller, None)
    try:
        ticket.take(rows)
    except RateLimited:
        return False
    return True


async def offered(limiters: tuple[Limiter, ...], seconds: float) -> int:
    """How much of about ten times the limit is admitted."""
    count, begun = 0, time.monotonic()
    while time.monotonic() < begun + seconds:
        count += sum(admitted(limiter) for limiter in limiters for _ in range(2))
        await asyncio.sleep(0.002)
    return count


def test_two_processes_together_keep_to_one_limit(
    pair: Callable[[Story], None],
) -> None:
    async def story(one: Limiter, two: Limiter) -> None:
        begun = time.monotonic()
        count = await offered((one, two), 1.0)
        allowed = 50 + 200 * (time.monotonic() - begun)
        assert abs(count - allowed) <= 0.05 * allowed + 200 * SETTLE_SECONDS

    pair(story)


def test_what_one_process_admitted_the_other_knows_a_moment_later(
    pair: Callable[[Story], None],
) -> None:
    async def story(one: Limiter, two: Limiter) -> None:
        caller = Principal("slow", "slow", frozenset(), limit=Limit(1, 50))
        assert admitted(one, 50, caller)
        assert admitted(two, 1, caller)  # not knowing better: this is what is owed afterwards
        limit = time.monotonic() + 5
        while admitted(two, 1, caller):
            assert time.monotonic() < limit
            await asyncio.sleep(SETTLE_SECONDS)
        owed = two._buckets["key:slow"].full_until - time.monotonic()
        assert owed > 40

    pair(story)


def test_without_redis_each_process_keeps_to_its_share_and_then_they_share_again(
    pair: Callable[[Story], None], settings: Settings
) -> None:
    async def story(one: Limiter, two: Limiter) -> None:
        await while_admitting(one, two, until=lambda: one._processes == two._processes == 2)
        script = one._settle_script
        for limiter in (one, two):
            limiter._settle_script = away  # type: ignore[assignment]
            limiter._pause = 0.05
        await while_admitting(one, two, until=lambda: one._degraded and two._degraded)
        await asyncio.sleep(0.5)  # what was used is paid for
        begun = time.monotonic()
        count = await offered((one, two), 1.0)
        allowed = 50 + 200 * (time.monotonic() - begun)
        assert abs(count - allowed) <= 0.05 * allowed + 2
        for limiter in (one, two):
            limiter._settle_script = script
        await while_admitting(one, two, until=lambda: not (one._degraded or two._degraded))

    pair(story)


@pytest.mark.parametrize("spoiled", ["tiny rate", "no number", "infinite", "not a number", "another type", "far away"])
def test_the_fault_of_one_bucket_is_its_own(settings: Settings, spoiled: str) -> None:
    """What Redis holds of one key, or a rate that comes to nothing, stops the sharing of no other limit."""
    held = {"no number": "x", "infinite": "inf", "not a number": "nan", "far away": "9" * 300}

    async def story() -> None:
        limiter, watcher = Limiter(Redis.of(settings), settings.access), Redis.of(settings).async_client()
        name = f"{KEY_PREFIX}limit:key:spoiled"
        if spoiled in held:
            await watcher.set(name, held[spoiled])
        elif spoiled == "another type":
            await watcher.hset(name, "a", "b")
        rate = 1e-300 if spoiled == "tiny rate" else 10
        bad = Principal("spoiled", "spoiled", frozenset(), limit=Limit(rate, 5))
        for rows in (1, 4):
            assert admitted(limiter, rows, bad) or spoiled == "tiny rate"
            assert admitted(limiter, rows)
            await limiter.settle()
            assert not limiter._degraded
            assert limiter._buckets["key:somebody"].unsettled == 0
        assert float(await watcher.get(f"{KEY_PREFIX}limit:key:somebody") or 0) > 0
        assert await watcher.pttl(name) > 0
        if spoiled != "tiny rate":
            assert 0.4 < limiter._buckets["key:spoiled"].full_until - time.monotonic() < 0.6
        await watcher.delete(name, f"{KEY_PREFIX}limit:key:somebody")
        await watcher.aclose()
        await limiter.close()

    asyncio.run(story())


async def while_admitting(*limiters: Limiter, until: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not until():
        assert time.monotonic() < limit
        for limiter in limiters:
            admitted(limiter)
        await asyncio.sleep(0.01)


async def away(**_: object) -> None:
    raise redis.exceptions.ConnectionError("away")


def test_a_limit_by_address_counts_all_keys_of_it_together(settings: Settings) -> None:
    access = settings.access.model_copy(update={"address_rows_per_second": 1, "address_burst_rows": 3})

    async def story() -> None:
        limiter = Limiter(Redis.of(settings), access)
        caller = Principal("x", "x", frozenset())
        for address, expected in (("10.0.0.1", [True] * 3 + [False]), ("10.0.0.2", [True])):
            for outcome in expected:
                ticket = limiter.admit(caller, (address, 1))
                try:
                    ticket.take(1)
                except RateLimited:
                    assert not outcome
                else:
                    assert outcome
        await limiter.close()

    asyncio.run(story())


def test_a_dead_redis_costs_a_limited_request_nothing(limited: Guarded) -> None:
    """The prediction path asks Redis for nothing: with a limit it is as fast as without one, to within its noise."""

    def median(name: str) -> float:
        times = []
        with httpx.Client(base_url=limited.platforms[0].url) as client:
            for _ in range(30):
                begun = time.perf_counter()
                limited.call("POST", "/predict/", name, json=SAMPLE, client=client)
                times.append(time.perf_counter() - begun)
        return sorted(times)[len(times) // 2]

    assert median("for-one") < 3 * median("unlimited") + 0.002
