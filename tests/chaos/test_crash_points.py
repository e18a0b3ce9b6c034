"""Each named place at which a process can die, hit on purpose; `make chaos-points` hits each many times."""

import contextlib
import os
import signal
import time

import httpx
import psutil
import pytest

from chaos.rig import HANG_SECONDS, Rig, new_key
from harness import eventually

chaos = pytest.mark.chaos
LATE = "results not recorded"


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize(
    ("point", "exists"),
    [
        pytest.param("accept.before_insert", False, marks=chaos),
        ("accept.committed", True),
        pytest.param("accept.before_answer", True, marks=chaos),
    ],
)
def test_an_api_killed_while_accepting_keeps_its_word_and_a_repeated_key_makes_one_job(
    rig: Rig, point: str, exists: bool, repetition: int
) -> None:
    key = new_key()
    rig.arm(point, "kill")
    with pytest.raises(httpx.TransportError):
        rig.submit(key=key)
    before = rig.of_key(key)
    assert bool(before) == exists
    rig.restart("api")
    job_id = rig.promised(key=key)
    assert rig.of_key(key) == [job_id]
    assert before in ([], [job_id])
    rig.succeeded(job_id)


@pytest.mark.guarantee("G2")
@pytest.mark.parametrize(
    ("point", "action", "attempts"),
    [
        pytest.param("worker.notified", "kill", 1, marks=chaos),
        pytest.param("worker.claimed", "kill", 2, marks=chaos),
        pytest.param("worker.computing", "kill", 2, marks=chaos),
        pytest.param("worker.computing", "segv", 2, marks=chaos),
        ("worker.computed", "kill", 2),
        pytest.param("worker.finished", "kill", 1, marks=chaos),
        pytest.param("worker.notified", "raise", 1, marks=chaos),
    ],
)
def test_a_worker_child_that_dies_anywhere_costs_no_job(
    rig: Rig, point: str, action: str, attempts: int, repetition: int
) -> None:
    rig.arm(point, action)
    job_id = rig.promised()
    (row,) = rig.succeeded(job_id)
    eventually(lambda: not rig.is_armed(point), 5, "the point was reached")
    assert row["attempt"] == attempts


@pytest.mark.guarantee("G2")
@pytest.mark.parametrize("point", ["worker.computed"])
def test_a_zombie_that_writes_after_its_lease_changes_nothing(rig: Rig, point: str, repetition: int) -> None:
    rig.arm(point, "stop")
    job_id = rig.promised()
    zombie = eventually(rig.stopped_child, 10, "a child hangs with the job in its hands")
    (row,) = rig.succeeded(job_id)
    assert row["attempt"] == 2
    refused = rig.logged("worker", LATE)
    os.kill(zombie, signal.SIGCONT)
    eventually(lambda: rig.logged("worker", LATE) > refused, 10, "the zombie's late write was refused")
    assert rig.row(job_id) == row


@chaos
@pytest.mark.guarantee("G2")
def test_a_child_frozen_from_outside_for_longer_than_its_lease_changes_nothing(rig: Rig, repetition: int) -> None:
    """Stopped wherever it happens to be, with a queue to work on."""
    ids = [rig.promised() for _ in range(10)]
    zombie = rig.children()[0]
    os.kill(zombie, signal.SIGSTOP)
    ids += [rig.promised() for _ in range(20)]
    frozen = time.monotonic()
    rows = rig.succeeded(*ids)
    eventually(lambda: time.monotonic() > frozen + HANG_SECONDS, 5, "the lease is over")
    with contextlib.suppress(ProcessLookupError):
        os.kill(zombie, signal.SIGCONT)
    (last,) = rig.succeeded(rig.promised())
    assert last["attempt"] == 1
    assert [rig.row(str(row["id"])) for row in rows] == rows


@chaos
@pytest.mark.slow_point
@pytest.mark.guarantee("G1")
def test_a_sweeper_killed_between_marking_and_ringing_only_delays_a_job(rig: Rig, repetition: int) -> None:
    sweeper, worker = rig.parts["sweeper"], rig.parts["worker"]
    worker.kill()
    sweeper.signal_all(signal.SIGSTOP)
    job_id = rig.promised()
    eventually(rig.notifications, 5, "its notification was sent")
    with rig.redis() as client:
        client.flushall()
    overdue = "SELECT 1 FROM jobs WHERE id = %(id)s AND notified_at < now() - interval '1.1 seconds'"
    eventually(lambda: rig.query(overdue, id=job_id), 5, "its notification is overdue")
    marked = rig.row(job_id)["notified_at"]
    rig.arm("sweeper.committed", "kill")
    sweeper.signal_all(signal.SIGCONT)
    assert sweeper.process.wait(10) == -signal.SIGKILL
    assert rig.row(job_id)["notified_at"] > marked
    assert rig.notifications() == 0
    sweeper.start()
    worker.start()
    rig.succeeded(job_id)


@chaos
@pytest.mark.guarantee("G2")
def test_two_sweepers_at_once_take_each_lost_job_back_once(rig: Rig, repetition: int) -> None:
    rig.start("sweeper-2")
    try:
        eventually(lambda: rig.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'aip-sweeper' HAVING"
                                     " count(*) >= 2"), 20, "both sweep")  # fmt: skip
        rig.arm("worker.computing", "kill")
        job_id = rig.promised()
        (row,) = rig.succeeded(job_id)
        back = [move for move in rig.moves(job_id) if (move["before"], move["after"]) == ("running", "queued")]
        assert (row["attempt"], len(back)) == (2, 1)
    finally:
        rig.parts.pop("sweeper-2").kill()


@chaos
@pytest.mark.slow_point
@pytest.mark.guarantee("G1")
def test_a_worker_that_dies_with_all_its_children_costs_no_job(rig: Rig, repetition: int) -> None:
    """Its main process alone is killed: the children must not outlive it, and a new one takes over."""
    rig.arm("worker.computed", "stop")
    ids = [rig.promised() for _ in range(20)]
    eventually(rig.stopped_child, 10, "a child holds jobs")
    children = rig.children()
    os.kill(rig.parts["worker"].pid, signal.SIGKILL)
    eventually(lambda: not any(map(psutil.pid_exists, children)), 10, "the children die with it")
    rig.restart("worker")
    rig.succeeded(*ids)


@chaos
@pytest.mark.slow_point
@pytest.mark.guarantee("G1")
def test_a_worker_told_to_stop_in_the_middle_of_its_work_costs_no_job(rig: Rig, repetition: int) -> None:
    ids = [rig.promised() for _ in range(20)]
    rig.parts["worker"].process.terminate()
    ids += [rig.promised() for _ in range(20)]
    rig.parts["worker"].process.wait(15)
    rig.restart("worker")
    rig.succeeded(*ids)
