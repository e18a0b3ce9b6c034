"""Models that raise, crash, run out of memory or never end: one row's trouble stays its own."""

import contextlib
import signal
from collections.abc import Iterator

import pytest

from chaos.rig import Rig
from chaos.troubled import Trouble
from harness import eventually

chaos = pytest.mark.chaos
NEIGHBOURS = 12


@pytest.mark.guarantee("G5")
@pytest.mark.parametrize("trouble", [Trouble.RAISE, pytest.param(Trouble.MEMORY, marks=chaos)], ids=lambda t: t.name)
def test_a_poison_row_fails_alone_and_its_neighbours_in_the_batch_succeed(
    rig: Rig, trouble: Trouble, repetition: int
) -> None:
    assert_fails_alone(rig, trouble, "model_error", attempts=1)


@chaos
@pytest.mark.slow_point
@pytest.mark.guarantee("G5")
@pytest.mark.parametrize(
    ("trouble", "code", "attempts"),
    [(Trouble.CRASH, "worker_lost", 3), (Trouble.KILLED, "worker_lost", 3), (Trouble.HANG, "timeout", 2)],
    ids=["CRASH", "KILLED", "HANG"],
)
def test_a_row_that_ends_its_worker_each_time_fails_alone_and_its_neighbours_in_the_batch_succeed(
    rig: Rig, trouble: Trouble, code: str, attempts: int, repetition: int
) -> None:
    assert_fails_alone(rig, trouble, code, attempts=attempts)


def assert_fails_alone(rig: Rig, trouble: Trouble, code: str, *, attempts: int) -> None:
    with queue_held(rig):
        neighbours = {rig.troubled(number): number for number in range(NEIGHBOURS)}
        poison = rig.troubled(99, trouble)
        neighbours |= {rig.troubled(number): number for number in range(NEIGHBOURS, 2 * NEIGHBOURS)}
    for row in rig.succeeded(*neighbours):
        assert row["result"]["prediction"] == pytest.approx(2 * neighbours[str(row["id"])], abs=1e-6)
        assert row["attempt"] <= 2, "a poison row costs its neighbours one attempt at most"
    row = rig.ended(poison)
    assert (row["state"], row["error_code"], row["attempt"]) == ("failed", code, attempts)
    assert shared_a_claim(rig, poison, set(neighbours))


@contextlib.contextmanager
def queue_held(rig: Rig) -> Iterator[None]:
    """Let jobs gather, so that they are claimed together."""
    rig.parts["worker"].signal_all(signal.SIGSTOP)
    try:
        yield
    finally:
        rig.parts["worker"].signal_all(signal.SIGCONT)


def shared_a_claim(rig: Rig, job_id: str, others: set[str]) -> bool:
    """Whether the first claim of a job took some of the others in the same transaction."""
    rows = rig.query(
        "SELECT other.job FROM audit mine JOIN audit other ON other.at = mine.at AND other.worker = mine.worker"
        " WHERE mine.job = %(id)s AND mine.after = 'running' AND mine.attempt = 1 AND other.after = 'running'",
        id=job_id,
    )
    return bool(others & {str(row["job"]) for row in rows})


@chaos
@pytest.mark.guarantee("G2")
def test_memory_that_runs_out_fails_the_job_and_leaves_the_worker_alive(rig: Rig) -> None:
    children = set(rig.children())
    ids = [rig.troubled(number, Trouble.MEMORY) for number in range(5)]
    assert {rig.ended(job_id)["error_code"] for job_id in ids} == {"model_error"}
    assert set(rig.children()) == children
    eventually(lambda: len(rig.workers()) == 2, 5, "both children send heartbeats")
