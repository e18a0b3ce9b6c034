"""Valkey and PostgreSQL killed, wiped, paused, filled and cut off: what got a 202 comes to its end."""

import os
import signal
import time
from collections.abc import Callable

import pytest
import redis

from ai_platform.storage.redis import KEY_PREFIX
from chaos.rig import HANG_SECONDS, Rig, new_key
from harness import SAMPLE, eventually

chaos = pytest.mark.chaos
JOBS = 20

# In the answer to the API's INSERT, and to the worker's FINISH: the command's tag. A claim's answer has more columns.
INSERTED = rb"INSERT 0 [1-9]"
UPDATED = rb"UPDATE [1-9]"
CLAIMS_COLUMN = b"attempt\0"


def kill_valkey(rig: Rig) -> None:
    rig.valkey.kill()
    assert rig.promised()
    rig.valkey.start()


def flush_valkey(rig: Rig) -> None:
    with rig.redis() as client:
        client.flushall()


def pause_valkey(rig: Rig) -> None:
    """Nothing closes and nothing answers; a 202 needs neither."""
    rig.valkey.pause()
    begun = time.monotonic()
    while time.monotonic() < begun + HANG_SECONDS:
        rig.promised()
    assert rig.client.post("/predict/", json=SAMPLE).status_code == 200
    rig.valkey.resume()


def fill_valkey(rig: Rig) -> None:
    """Every write is refused: nothing there carries a lifetime, so nothing can be evicted."""
    with rig.redis() as client:
        client.config_set("maxmemory", "1mb")
        client.config_set("maxmemory-policy", "noeviction")
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("ballast", b"x")
            for _ in range(10):
                rig.promised()
        finally:
            client.config_set("maxmemory", "256mb")


def reset_valkey(rig: Rig) -> None:
    for part in ("api", "worker"):
        rig.proxies[part, "valkey"].reset()


def blackhole_valkey(rig: Rig) -> None:
    rig.proxies["worker", "valkey"].blackhole()
    rig.proxies["api", "valkey"].blackhole()
    rig.promised()
    begun = time.monotonic()
    eventually(lambda: time.monotonic() > begun + HANG_SECONDS, 5)
    rig.proxies["worker", "valkey"].relay()
    rig.proxies["api", "valkey"].relay()


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(kill_valkey, marks=chaos),
        Rig.wipe_valkey,
        pytest.param(flush_valkey, marks=chaos),
        pytest.param(pause_valkey, marks=chaos),
        pytest.param(fill_valkey, marks=chaos),
        pytest.param(reset_valkey, marks=chaos),
        pytest.param(blackhole_valkey, marks=chaos),
    ],
)
def test_whatever_happens_to_valkey_every_promised_job_comes_to_its_end(
    rig: Rig, fault: Callable[[Rig], None], repetition: int
) -> None:
    rig.parts["worker"].signal_all(signal.SIGSTOP)
    ids = [rig.promised() for _ in range(JOBS)]
    fault(rig)
    rig.parts["worker"].signal_all(signal.SIGCONT)
    ids += [rig.promised() for _ in range(JOBS)]
    rig.succeeded(*ids)


@chaos
@pytest.mark.guarantee("G2")
def test_a_worker_whose_acknowledgements_were_lost_with_valkey_is_notified_again(rig: Rig, repetition: int) -> None:
    """Each child has taken a notification, and Valkey dies before either is acknowledged: no credit may be lost."""
    children = rig.children()
    for child in children:
        os.kill(child, signal.SIGSTOP)
    with rig.redis() as client:
        # Those whose acknowledgement was lost before stay in the index until they are notified of again.
        wanted = client.zcard(f"{KEY_PREFIX}unacked_index") + len(children)
        ids = [rig.promised() for _ in range(4)]
        eventually(lambda: client.zcard(f"{KEY_PREFIX}unacked_index") >= wanted, 5, "each child has a notification")
    lost = rig.logged("worker", "Couldn't ack")
    rig.valkey.kill()
    for child in children:
        os.kill(child, signal.SIGCONT)
    eventually(lambda: rig.logged("worker", "Couldn't ack") > lost, 10, "acknowledgements are lost")
    rig.valkey.start()
    rig.succeeded(*ids, rig.promised())


@chaos
@pytest.mark.slow_point
@pytest.mark.guarantee("G2")
def test_after_a_long_outage_of_valkey_a_worker_is_back_as_soon_as_after_a_short_one(rig: Rig, repetition: int) -> None:
    """Its pauses between attempts to connect must not grow with the outage."""
    failed = rig.logged("worker", "Cannot connect")
    rig.valkey.kill()
    ids = [rig.promised() for _ in range(5)]
    eventually(lambda: rig.logged("worker", "Cannot connect") >= failed + 5, 40, "it has tried five times")
    rig.valkey.start()
    rig.succeeded(*ids, seconds=6)


def restart_postgres_fast(rig: Rig) -> None:
    rig.postgres.restart()


def restart_postgres_immediately(rig: Rig) -> None:
    rig.crash_postgres(signal.SIGQUIT)


def kill_postgres(rig: Rig) -> None:
    rig.crash_postgres(signal.SIGKILL)


def pause_postgres(rig: Rig) -> None:
    rig.postgres.pause()
    begun = time.monotonic()
    while time.monotonic() < begun + HANG_SECONDS:
        assert rig.client.post("/predict/", json=SAMPLE).status_code == 200
    rig.postgres.resume()


def terminate_backends(rig: Rig) -> None:
    assert rig.terminate_backends()


def reset_postgres(rig: Rig) -> None:
    for part in ("api", "worker"):
        rig.proxies[part, "postgres"].reset()


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(restart_postgres_fast, marks=chaos),
        pytest.param(restart_postgres_immediately, marks=chaos),
        kill_postgres,
        pytest.param(pause_postgres, marks=chaos),
        pytest.param(terminate_backends, marks=chaos),
        pytest.param(reset_postgres, marks=chaos),
    ],
)
def test_whatever_happens_to_postgresql_every_promised_job_comes_to_its_end(
    rig: Rig, fault: Callable[[Rig], None], repetition: int
) -> None:
    """Half of the jobs wait and a child holds one of them when it happens."""
    rig.arm("worker.computed", "stop")
    ids = [rig.promised() for _ in range(JOBS)]
    holder = eventually(rig.stopped_child, 10, "a child holds a job")
    fault(rig)
    os.kill(holder, signal.SIGCONT)
    key = new_key()
    eventually(lambda: rig.submit(key=key).status_code == 202, 15, "jobs are accepted again")
    rig.succeeded(*ids, *rig.of_key(key))


@chaos
@pytest.mark.guarantee("G1")
def test_a_lost_answer_to_the_commit_of_an_acceptance_makes_one_job(rig: Rig, repetition: int) -> None:
    key = new_key()
    cut = rig.proxies["api", "postgres"].cut_answer(INSERTED)
    answer = rig.submit(key=key)
    assert cut.wait(5)
    (stored,) = rig.of_key(key)
    assert answer.status_code in {202, 503}
    assert rig.promised(key=key) == stored
    rig.succeeded(stored)


@pytest.mark.guarantee("G2")
def test_a_lost_answer_to_the_commit_of_a_result_records_it_once(rig: Rig, repetition: int) -> None:
    cut = rig.proxies["worker", "postgres"].cut_answer(UPDATED, unless=CLAIMS_COLUMN)
    job_id = rig.promised()
    assert cut.wait(10)
    (row,) = rig.succeeded(job_id)
    assert [move["after"] for move in rig.moves(job_id)] == ["queued", "running", "succeeded"]
    rig.succeeded(rig.promised())
    assert rig.row(job_id) == row


@chaos
@pytest.mark.guarantee("G2")
def test_a_lost_answer_to_a_claim_only_delays_the_job(rig: Rig, repetition: int) -> None:
    """The child holds a job that it does not know of."""
    cut = rig.proxies["worker", "postgres"].cut_answer(rb"attempt\0.*UPDATE [1-9]")
    job_id = rig.promised()
    assert cut.wait(10)
    (row,) = rig.succeeded(job_id)
    assert row["attempt"] == 2


@chaos
@pytest.mark.guarantee("G4")
def test_with_both_servers_dead_a_loaded_model_still_predicts(rig: Rig) -> None:
    rig.postgres.kill()
    rig.valkey.kill()
    try:
        for _ in range(20):
            assert rig.client.post("/predict/", json=SAMPLE).json()["label"] == "setosa"
        assert rig.submit().status_code == 503
    finally:
        rig.postgres.start()
        rig.valkey.start()
