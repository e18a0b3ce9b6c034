"""Promoting and rolling back under load: no request fails, and each answer is right for the version that it names."""

import http.client
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from pydantic import SecretStr

from ai_platform.predictions.catalog.versions import VersionSource
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from harness import SAMPLE, Iris, Platform, eventually, publish_iris

pytestmark = pytest.mark.slow

# `make live-change` asks for the numbers of the promise.
CHANGES = int(os.environ.get("LIVE_CHANGES", "6"))
REQUESTS = int(os.environ.get("LIVE_REQUESTS", "2000"))
CONNECTIONS = 32
PICK_UP_SECONDS = 2.0


@pytest.fixture(scope="module")
def site(module_settings: Settings, other_iris: Iris) -> Iterator[Platform]:
    """An API alone, with two versions of iris that answer differently."""
    publish_iris(module_settings, other_iris)
    with Platform.running(module_settings, "api") as running:
        yield running


class Load:
    """Connections that predict until told to stop; each answer is kept as (status, version, rounded probability)."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[tuple[int, int, float]] = Counter()
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(CONNECTIONS)
        self._running = [self._threads.submit(self._ask) for _ in range(CONNECTIONS)]

    @property
    def count(self) -> int:
        return self.seen.total()

    def reached(self, count: int) -> bool:
        return self.count >= count

    def stop(self) -> None:
        self._stop.set()
        for one in self._running:
            one.result(30)
        self._threads.shutdown()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        body, headers = json.dumps(SAMPLE), {"Content-Type": "application/json"}
        while not self._stop.is_set():
            connection.request("POST", "/predict/", body, headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            key = (answer.status, found.get("version", 0), round(max(found.get("probabilities", [0])), 6))
            with self._lock:
                self.seen[key] += 1
        connection.close()


def _serves(site: Platform, version: int) -> bool:
    return bool(site.client.post("/predict/", json=SAMPLE).json()["version"] == version)


def expected(settings: Settings) -> dict[int, float]:
    """What each version itself says of the sample."""
    source = VersionSource.of(settings, "oracle")
    try:
        outputs = {
            version: source.load("iris", version).served.loaded.predict([SAMPLE["features"]]) for version in (1, 2)
        }
    finally:
        source.close()
    return {version: round(max((one.probabilities or [[0.0]])[0]), 6) for version, one in outputs.items()}


def test_promoting_and_rolling_back_under_load_fails_no_request_and_mixes_no_answers(site: Platform) -> None:
    """Attacks G3: every answer names the version that made it."""
    right = expected(site.settings)
    assert right[1] != right[2]
    load = Load(site.port)
    slowest, version = 0.0, 2
    for number in range(CHANGES):
        version = 3 - version
        if number % 2:
            changed = site.client.post("/models/iris/rollback")
        else:
            changed = site.client.post("/models/iris/promote", json={"version": version})
        assert changed.json()["targets"][0]["version"] == version, changed.text
        begun = time.monotonic()
        eventually(partial(_serves, site, version), 30, f"version {version} serves")
        slowest = max(slowest, time.monotonic() - begun)
        until = load.count + REQUESTS // CHANGES
        eventually(partial(load.reached, until), 60, "load between two changes")
    load.stop()
    print(f"{CHANGES} changes, {CONNECTIONS} connections, {load.count} requests; picked up within {slowest:.2f} s")
    assert {(status, number): answer for status, number, answer in load.seen} == {
        (200, 1): right[1],
        (200, 2): right[2],
    }
    assert load.count >= REQUESTS
    assert slowest <= PICK_UP_SECONDS


def test_a_promotion_is_picked_up_by_polling_when_redis_is_away(settings: Settings, other_iris: Iris) -> None:
    publish_iris(settings, other_iris)
    deaf = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    with Platform.running(deaf, "api") as alone:
        assert alone.client.post("/predict/", json=SAMPLE).json()["version"] == 2
        alone.client.post("/models/iris/promote", json={"version": 1})
        eventually(
            lambda: alone.client.post("/predict/", json=SAMPLE).json()["version"] == 1, PICK_UP_SECONDS, "version 1"
        )


def test_a_version_that_does_not_load_never_replaces_one_that_works(site: Platform, iris: Iris) -> None:
    good = site.client.post("/predict/", json=SAMPLE).json()["version"]
    bad = publish_iris(site.settings, iris, spoiled=True)
    with Database.of(site.settings).connect("test") as connection:
        named = connection.execute("SELECT version FROM alias_targets").fetchall()
    assert [row["version"] for row in named] == [bad]
    refused = 'aip_model_loads_total{model="iris",outcome="artifact_refused"}'
    eventually(lambda: refused in site.client.get("/metrics").text, 5, "the bad version was tried")
    assert site.client.post("/predict/", json=SAMPLE).json()["version"] == good
    assert site.client.post("/models/iris/rollback").status_code == 200
