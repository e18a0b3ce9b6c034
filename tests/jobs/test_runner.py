"""The runner of a worker child: what it claims, records, gives back and repeats, whatever becomes of PostgreSQL."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from ai_platform.errors import StorageUnavailable
from ai_platform.jobs import runner as running
from ai_platform.jobs.computing import Claimed, Outcome, compute
from ai_platform.jobs.runner import JobRunner
from ai_platform.jobs.waiting import FINISHED_CHANNEL
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis
from harness import Iris, eventually, free_port, publish_iris
from job_table import JobTable
from tcp_proxy import TcpProxy

SECONDS = 20.0


class Child:
    """A runner as a worker child has it, and how often it asked for another notification."""

    def __init__(self, settings: Settings) -> None:
        self.notified = 0
        database, redis = Database.of(settings), Redis.of(settings)
        directory = ModelDirectory.of(settings, "worker")
        self.runner = JobRunner(database, redis, directory, settings.jobs.claim_batch_size, self._notify)

    def _notify(self) -> None:
        self.notified += 1

    def close(self) -> None:
        self.runner._pool.close()
        self.runner._directory.stop()


@pytest.fixture
def child_of() -> Iterator[Callable[[Settings], Child]]:
    made: list[Child] = []

    def make(settings: Settings) -> Child:
        made.append(Child(settings))
        return made[-1]

    yield make
    for child in made:
        child.close()


def states(job_table: JobTable, *ids: Any) -> list[str]:
    return [job_table.job(job_id)["state"] for job_id in ids]


def before_recording(monkeypatch: pytest.MonkeyPatch, act: Callable[[list[Claimed]], object]) -> None:
    """Let something happen once, between the computation of a group and the first try to record it."""
    acts = [act]

    def computed(prepared: Any, group: list[Claimed], before_each: Callable[[], None]) -> list[Outcome]:
        outcomes = compute(prepared, group, before_each)
        if acts:
            acts.pop()(group)
        return outcomes

    monkeypatch.setattr(running, "compute", computed)


def test_what_a_notification_names_is_run_and_then_what_waits_longest(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "DRAIN_SECONDS", SECONDS)
    first, second, named = (job_table.accept() for _ in range(3))
    child = child_of(settings)
    with Redis.of(settings).client() as valkey, valkey.pubsub() as channel:
        channel.subscribe(FINISHED_CHANNEL)
        eventually(lambda: channel.get_message(timeout=0.1), what="it is subscribed")
        child.runner.run([str(named)])
        hints: list[Any] = [eventually(lambda: channel.get_message(timeout=0.1), what="a hint") for _ in range(2)]
    assert states(job_table, first, second, named) == ["succeeded"] * 3
    told = [hint["data"].decode().split() for hint in hints]
    assert told == [[str(named)], [str(first), str(second)]]
    assert child.notified == 0


def test_when_more_waits_than_one_notification_has_time_for_another_is_asked_for(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "DRAIN_SECONDS", 0.0)
    ids = [job_table.accept() for _ in range(3)]
    few = settings.jobs.model_copy(update={"claim_batch_size": 2})
    child = child_of(settings.model_copy(update={"jobs": few}))
    child.runner.run([])
    assert states(job_table, *ids) == ["succeeded", "succeeded", "queued"]
    assert child.notified == 1


def test_a_result_is_recorded_although_the_connection_broke_before(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: list[Claimed]) -> None:
        ended = job_table.run(
            "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
            " WHERE application_name = 'aip-worker' AND datname = current_database()"
        )
        assert ended

    before_recording(monkeypatch, broken)
    job_id = job_table.accept()
    child_of(settings).runner.run([str(job_id)])
    assert states(job_table, job_id) == ["succeeded"]


def test_a_result_of_a_job_that_was_cancelled_meanwhile_is_not_recorded(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled, other = job_table.accept(), job_table.accept()
    cancel = "UPDATE jobs SET state = 'cancelled', finished_at = now(), lease_owner = NULL, lease_until = NULL"
    before_recording(monkeypatch, lambda _: job_table.run(f"{cancel} WHERE id = %(id)s", id=cancelled))
    child_of(settings).runner.run([str(cancelled), str(other)])
    assert states(job_table, cancelled, other) == ["cancelled", "succeeded"]
    assert job_table.job(cancelled)["result"] is None


def test_a_claim_whose_answer_was_lost_is_given_back_without_another_notification(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "RELEASE_SECONDS", 0.05)
    job_id = job_table.accept()
    with TcpProxy(settings.database_dsn) as proxy:
        child = child_of(settings.model_copy(update={"database_url": SecretStr(proxy.url)}))
        child.runner.warm()
        cut = proxy.cut_answer(str(job_id).encode())
        with pytest.raises(StorageUnavailable):
            child.runner.run([str(job_id)])
        assert cut.is_set()
        eventually(lambda: states(job_table, job_id) == ["queued"], SECONDS, "it is given back")
        assert job_table.job(job_id)["attempt"] == 1
        child.runner.run([str(job_id)])
        assert states(job_table, job_id) == ["succeeded"]
        child.close()


def test_with_the_database_away_a_notification_fails_and_the_next_one_runs_the_jobs(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child]
) -> None:
    database = settings.database.model_copy(update={"statement_seconds": 0.3, "connect_seconds": 1})
    job_id = job_table.accept()
    with TcpProxy(settings.database_dsn) as proxy:
        away = settings.model_copy(update={"database_url": SecretStr(proxy.url), "database": database})
        child = child_of(away)
        proxy.blackhole()
        with pytest.raises(StorageUnavailable):
            child.runner.run([str(job_id)])
        assert states(job_table, job_id) == ["queued"]
        proxy.relay()

        def runs() -> bool:
            try:
                child.runner.run([str(job_id)])
            except StorageUnavailable:
                return False
            return True

        eventually(runs, SECONDS, "it runs")
        assert states(job_table, job_id) == ["succeeded"]
        child.close()


def test_without_redis_jobs_are_run_and_recorded(
    settings: Settings, job_table: JobTable, child_of: Callable[[Settings], Child]
) -> None:
    ids = [job_table.accept() for _ in range(2)]
    redis_url = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    child = child_of(settings.model_copy(update={"redis_url": redis_url}))
    for job_id in ids:
        child.runner.run([str(job_id)])
    assert states(job_table, *ids) == ["succeeded"] * 2


def test_a_version_that_cannot_be_loaded_fails_its_jobs_and_no_others(
    settings: Settings, job_table: JobTable, iris: Iris, child_of: Callable[[Settings], Child]
) -> None:
    spoiled = publish_iris(settings, iris, spoiled=True)
    bad, good = job_table.accept(version=spoiled), job_table.accept()
    child_of(settings).runner.run([str(bad), str(good)])
    child_of(settings).runner.run([])
    assert states(job_table, bad, good) == ["failed", "succeeded"]
    assert job_table.job(bad)["error_code"] == "model_unavailable"
