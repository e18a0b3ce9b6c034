"""PostgreSQL, Redis or the workers away: what still answers, what says 503, and that nothing accepted is lost."""

import os
import signal
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
import redis

from ai_platform.local.embedded.servers import Server, Servers
from ai_platform.settings import Settings
from harness import SAMPLE, Part, Platform, eventually

JOBS = 200
RECOVERY_SECONDS = 25  # ten to notify again, three for a worker to start, and room for a busy machine


@pytest.fixture(scope="module")
def breakable(module_settings: Settings) -> Iterator[Platform]:
    with Platform.running(module_settings) as platform:
        yield platform


@pytest.fixture
def own(breakable: Platform) -> Platform:
    """A platform that a test may break, if it leaves it able to come back."""
    eventually(breakable.workers_alive, RECOVERY_SECONDS, "a worker is alive again")
    return breakable


@pytest.fixture
def paused_postgres(servers: Servers) -> Iterator[Server]:
    assert servers.postgres is not None
    yield servers.postgres
    servers.postgres.resume()


@pytest.fixture
def paused_valkey(servers: Servers) -> Iterator[Server]:
    assert servers.valkey is not None
    yield servers.valkey
    servers.valkey.resume()


def test_with_postgresql_paused_predictions_answer_and_jobs_get_503_in_time(
    own: Platform, paused_postgres: Server
) -> None:
    own.accept()
    paused_postgres.pause()
    for _ in range(3):
        assert own.client.post("/predict/", json=SAMPLE).status_code == 200
        begun = time.monotonic()
        refused = own.client.post("/predict/async", json=SAMPLE)
        assert refused.status_code == 503
        assert refused.json()["code"] == "storage_unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert time.monotonic() - begun < own.settings.api.accept_seconds + 3
    health = own.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["postgres"]["status"] == "error"
    paused_postgres.resume()
    eventually(lambda: own.client.post("/predict/async", json=SAMPLE).status_code == 202, 20, "jobs are accepted again")


def test_with_redis_paused_both_kinds_of_prediction_answer(own: Platform, paused_valkey: Server) -> None:
    paused_valkey.pause()
    assert own.client.post("/predict/", json=SAMPLE).status_code == 200
    ids = [own.accept() for _ in range(5)]
    assert own.client.get("/health").json()["redis"]["status"] == "error"
    paused_valkey.resume()
    assert_all_succeed(own, ids)


def test_jobs_accepted_while_the_workers_are_paused_survive_their_death(own: Platform) -> None:
    worker = own.parts["worker"]
    worker.signal_all(signal.SIGSTOP)
    ids = [own.accept() for _ in range(JOBS)]
    worker.kill()
    own.start("worker")
    assert_all_succeed(own, ids)


def test_jobs_survive_a_wiped_redis(own: Platform) -> None:
    worker = own.parts["worker"]
    worker.signal_all(signal.SIGSTOP)
    ids = [own.accept() for _ in range(JOBS)]
    with redis.Redis.from_url(own.settings.redis_dsn) as client:
        client.flushall()
    worker.signal_all(signal.SIGCONT)
    assert_all_succeed(own, ids)


def test_a_worker_process_killed_with_work_in_hand_is_noticed_and_its_jobs_run_again(own: Platform) -> None:
    worker = own.parts["worker"]
    children = worker_children(worker)
    for child in children:
        os.kill(child, signal.SIGSTOP)
    ids = [own.accept() for _ in range(20)]
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert_all_succeed(own, ids)


def test_health_tells_that_no_worker_is_there_and_predictions_go_on(settings: Settings) -> None:
    with Platform.running(settings, "api") as platform:
        body = platform.client.get("/health").json()
        assert body["status"] == "degraded"
        assert body["workers"] == {"status": "error", "alive": 0,
                                   "error": "no worker sends heartbeats; jobs are accepted and wait"}  # fmt: skip
        assert platform.client.post("/predict/", json=SAMPLE).status_code == 200


def test_an_api_that_is_told_to_stop_finishes_what_it_has_begun(settings: Settings) -> None:
    with Platform.running(settings, "api") as platform:
        job_id = platform.accept()
        platform.client.close()
        with httpx.stream("GET", f"{platform.url}/jobs/{job_id}", params={"wait": 2}, timeout=10) as answer:
            platform.parts["api"].process.terminate()
            assert answer.status_code == 200
        assert platform.parts["api"].process.wait(10) in {0, -signal.SIGTERM}


def assert_all_succeed(platform: Platform, ids: list[str]) -> None:
    limit = time.monotonic() + RECOVERY_SECONDS
    for job_id in ids:
        job = platform.job(job_id, wait=max(0.0, limit - time.monotonic()))
        assert job["status"] == "succeeded", job
        assert job["result"]["label"] == "setosa"


def worker_children(worker: Part) -> list[int]:
    found: list[int] = eventually(
        lambda: [child.pid for child in psutil.Process(worker.pid).children()], what="the worker has children"
    )
    return found
