"""Redis as cache: hits, misses, bypasses, and an absence that costs nothing but the cache."""

from collections.abc import Iterator

import pytest

from ai_platform.local.embedded.servers import Servers
from ai_platform.settings import Settings
from harness import Platform, eventually


@pytest.fixture(scope="module")
def cached(module_settings: Settings) -> Iterator[Platform]:
    """An API with the cache on; each test asks about flowers of its own."""
    on = module_settings.cache.model_copy(update={"mode": "on"})
    with Platform.running(module_settings.model_copy(update={"cache": on}), "api") as platform:
        yield platform


def predict(platform: Platform, sepal_length: float) -> tuple[str, dict[str, object]]:
    answer = platform.client.post("/predict/", json={"features": [sepal_length, 3.5, 1.4, 0.2]})
    assert answer.status_code == 200
    return answer.headers["x-cache"], answer.json()


def test_the_same_input_twice_is_a_miss_and_then_a_hit_with_an_id_of_its_own(cached: Platform) -> None:
    first, missed = predict(cached, 5.01)
    found, hit = eventually(lambda: _hit(cached, 5.01), what="the answer is cached")
    assert (first, found) == ("miss", "hit")
    assert hit["id"] != missed["id"]
    assert {**hit, "id": ""} == {**missed, "id": ""}


def test_by_name_and_by_position_share_an_entry_and_another_input_does_not(cached: Platform) -> None:
    predict(cached, 5.02)
    eventually(lambda: _hit(cached, 5.02))
    named = {"sepal_length": 5.02, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    assert cached.client.post("/predict/", json={"features": named}).headers["x-cache"] == "hit"
    assert predict(cached, 5.03)[0] == "miss"


def test_one_instance_and_a_list_of_one_do_not_share_an_entry(cached: Platform) -> None:
    predict(cached, 5.04)
    eventually(lambda: _hit(cached, 5.04))
    many = cached.client.post("/predict/", json={"instances": [[5.04, 3.5, 1.4, 0.2]]})
    assert many.headers["x-cache"] == "miss"
    assert "predictions" in many.json()


def test_cached_answers_have_a_lifetime_so_that_redis_may_evict_them_and_nothing_else(
    cached: Platform,
) -> None:
    import redis

    predict(cached, 5.05)
    eventually(lambda: _hit(cached, 5.05))
    with redis.Redis.from_url(cached.settings.redis_dsn) as client:
        keys = client.keys("aip:cache:*")
        assert keys
        assert all(client.ttl(key) > 0 for key in keys)


def test_with_the_cache_off_it_is_bypassed(settings: Settings) -> None:
    off = settings.cache.model_copy(update={"mode": "off"})
    with Platform.running(settings.model_copy(update={"cache": off}), "api") as platform:
        assert [predict(platform, 5.06)[0] for _ in range(2)] == ["bypass", "bypass"]


def test_a_redis_that_hangs_costs_a_request_nothing_but_the_cache(cached: Platform, servers: Servers) -> None:
    assert servers.valkey is not None
    servers.valkey.pause()
    try:
        outcomes = [predict(cached, 5.07)[0] for _ in range(5)]
    finally:
        servers.valkey.resume()
    assert outcomes[0] == "miss"
    assert set(outcomes[1:]) == {"bypass"}  # nobody waits for it twice


def _hit(platform: Platform, sepal_length: float) -> tuple[str, dict[str, object]] | None:
    outcome, body = predict(platform, sepal_length)
    return (outcome, body) if outcome == "hit" else None
