"""The sweeper: whose jobs it takes back, whom it kills, what it tells Redis, and that one outage is not its end."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from ai_platform.jobs import statements
from ai_platform.jobs.notifier import QUEUE
from ai_platform.jobs.processes import host_identity, started_at
from ai_platform.jobs.sweeper import MOST_NOTIFICATIONS, SWEEP_LOCK, Sweeper
from ai_platform.predictions.log.retention import LogRetention
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import KEY_PREFIX, Redis
from harness import eventually, free_port
from job_table import JobTable
from tcp_proxy import TcpProxy

WORKER = "a worker of this host"
LIVES = "import time; print('here', flush=True); time.sleep(600)"
NOTIFICATIONS = f"{KEY_PREFIX}{QUEUE}"


@pytest.fixture
def worker(spawned: Callable[..., subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """A process that the sweeper finds alive."""
    process = spawned("-c", LIVES)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def sweeper_of(settings: Settings) -> Sweeper:
    retention = LogRetention(settings.prediction_log.keep_days)
    return Sweeper(Database.of(settings), Redis.of(settings), settings.jobs, retention)


@pytest.fixture
def sweeper(settings: Settings) -> Iterator[Sweeper]:
    made = sweeper_of(settings)
    yield made
    made._close()


def claim(job_table: JobTable, worker: subprocess.Popen[str], *ids: Any) -> None:
    """Let a process hold jobs, as its own claim would."""
    claimed = job_table.run(
        statements.CLAIM_NAMED, ids=list(ids), worker=WORKER, host=host_identity(), pid=worker.pid,
        process_started=started_at(worker.pid), limit=256,
    )  # fmt: skip
    assert len(claimed) == len(ids)


def states(job_table: JobTable, *ids: Any) -> list[str]:
    return [job_table.job(job_id)["state"] for job_id in ids]


def silent(job_table: JobTable) -> bool:
    """Whether the worker's last heartbeat is the one that was set back an hour."""
    sent = "SELECT heartbeat_at < now() - interval '1 minute' AS silent FROM workers WHERE name = %(name)s"
    return bool(job_table.run(sent, name=WORKER)[0]["silent"])


def set_back(job_table: JobTable) -> None:
    job_table.run("UPDATE workers SET heartbeat_at = now() - interval '1 hour'")


def test_what_a_process_that_died_had_held_waits_again_and_somebody_is_told(
    settings: Settings, sweeper: Sweeper, job_table: JobTable, worker: subprocess.Popen[str]
) -> None:
    ids = [job_table.accept() for _ in range(3)]
    claim(job_table, worker, *ids)
    sweeper.heartbeat()
    sweeper.sweep()
    assert states(job_table, *ids) == ["running"] * 3
    worker.kill()
    worker.wait()
    sweeper.heartbeat()
    assert job_table.run("SELECT * FROM workers") == []
    sweeper.sweep()
    assert states(job_table, *ids) == ["queued"] * 3
    with Redis.of(settings).client() as valkey:
        assert valkey.llen(NOTIFICATIONS) == 3, "each by itself from now on"


def test_a_process_that_is_stopped_is_left_silent_until_it_goes_on(
    sweeper: Sweeper, job_table: JobTable, worker: subprocess.Popen[str]
) -> None:
    claim(job_table, worker, job_table.accept())
    worker.send_signal(signal.SIGSTOP)
    eventually(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED, what="it is stopped")
    set_back(job_table)
    sweeper.heartbeat()
    assert silent(job_table)
    worker.send_signal(signal.SIGCONT)
    eventually(lambda: psutil.Process(worker.pid).status() != psutil.STATUS_STOPPED, what="it goes on")
    sweeper.heartbeat()
    assert not silent(job_table)


def test_a_process_that_has_only_the_pid_of_one_that_died_is_not_taken_for_it(
    sweeper: Sweeper, job_table: JobTable
) -> None:
    job_id = job_table.accept()
    job_table.run(
        statements.CLAIM_NAMED, ids=[job_id], worker=WORKER, host=host_identity(), pid=os.getpid(),
        process_started=started_at(os.getpid()) - 1, limit=1,
    )  # fmt: skip
    sweeper.heartbeat()
    sweeper.sweep()
    assert states(job_table, job_id) == ["queued"]


def test_after_a_silence_of_its_own_the_sweeper_judges_nobody_by_theirs(
    settings: Settings, job_table: JobTable
) -> None:
    jobs = settings.jobs.model_copy(update={"lease_seconds": 0.2})
    sweeper = sweeper_of(settings.model_copy(update={"jobs": jobs}))
    job_id = job_table.accept()
    job_table.claim(job_id)  # by a worker of another host
    set_back(job_table)
    sweeper.heartbeat()
    sweeper.sweep()
    assert states(job_table, job_id) == ["running"]

    def judged() -> bool:
        sweeper.heartbeat()
        sweeper.sweep()
        return states(job_table, job_id) == ["queued"]

    eventually(judged, what="heartbeats have come for a whole lease")
    sweeper._close()


def test_a_process_that_ran_past_the_time_limit_is_killed_and_its_job_fails(
    settings: Settings, job_table: JobTable, worker: subprocess.Popen[str]
) -> None:
    sweeper = sweeper_of(settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"lease_seconds": 0.2})}))
    job_id = job_table.accept()
    claim(job_table, worker, job_id)
    job_table.overrun(job_id)

    def killed() -> bool:
        sweeper.heartbeat()
        return worker.poll() == -signal.SIGKILL

    eventually(killed, what="it is killed")
    assert states(job_table, job_id) == ["failed"]
    assert job_table.job(job_id)["error_code"] == "timeout"
    sweeper._close()


def test_only_one_sweeper_at_a_time_sweeps(settings: Settings, sweeper: Sweeper, job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id)
    job_table.delete_workers("w1")
    with Database.of(settings).connect("test") as other, other.transaction():
        assert other.execute(statements.SWEEP_LOCK, {"lock": SWEEP_LOCK}).fetchone() == {"mine": True}
        sweeper.sweep()
        assert states(job_table, job_id) == ["running"]
    sweeper.sweep()
    assert states(job_table, job_id) == ["queued"]


def test_when_enough_notifications_wait_no_more_are_sent(
    settings: Settings, sweeper: Sweeper, job_table: JobTable
) -> None:
    job_table.accept()
    job_table.run("UPDATE jobs SET notified_at = to_timestamp(0)")
    with Redis.of(settings).client() as valkey:
        valkey.rpush(NOTIFICATIONS, *(["{}"] * MOST_NOTIFICATIONS))
        sweeper.sweep()
        assert valkey.llen(NOTIFICATIONS) == MOST_NOTIFICATIONS
        valkey.lpop(NOTIFICATIONS)
        sweeper.sweep()
        assert valkey.llen(NOTIFICATIONS) == MOST_NOTIFICATIONS


def test_without_redis_jobs_are_taken_back_all_the_same(settings: Settings, job_table: JobTable) -> None:
    sweeper = sweeper_of(settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")}))
    job_id = job_table.accept()
    job_table.claim(job_id)
    job_table.delete_workers("w1")
    sweeper.sweep()
    assert states(job_table, job_id) == ["queued"]
    sweeper._close()


def test_rounds_that_fail_are_counted_and_it_goes_on_until_it_is_told_to_stop(
    settings: Settings, job_table: JobTable
) -> None:
    def failed() -> float:
        return REGISTRY.get_sample_value("aip_loop_failures_total", {"loop": "sweeper"}) or 0.0

    jobs = settings.jobs.model_copy(update={"heartbeat_seconds": 0.05, "sweep_seconds": 0.05})
    database = settings.database.model_copy(update={"statement_seconds": 0.3, "connect_seconds": 1})
    job_id = job_table.accept()
    job_table.claim(job_id)
    with TcpProxy(settings.database_dsn) as proxy:
        proxy.blackhole()
        away = {"jobs": jobs, "database": database, "database_url": SecretStr(proxy.url)}
        stop, before = threading.Event(), failed()
        running = threading.Thread(target=sweeper_of(settings.model_copy(update=away)).run, args=(stop,))
        running.start()
        try:
            eventually(lambda: failed() >= before + 2, 20, "two rounds have failed")
            job_table.delete_workers("w1")
            proxy.relay()
            eventually(lambda: states(job_table, job_id) == ["queued"], 20, "it sweeps again")
        finally:
            stop.set()
            running.join(20)
        assert not running.is_alive()
