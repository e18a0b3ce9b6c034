"""The state machine, on real PostgreSQL: each statement, its fence, and what the database itself refuses."""

import psycopg
import pytest

from ai_platform.jobs import statements
from ai_platform.settings import Settings
from ai_platform.storage import postgres
from board import Board


def test_a_job_goes_from_queued_through_running_to_succeeded(board: Board) -> None:
    job_id = board.accept()
    assert board.job(job_id)["state"] == "queued"
    (claimed,) = board.claim(job_id)
    assert claimed["attempt"] == 1
    assert board.job(job_id)["state"] == "running"
    assert board.finish(job_id, 1)
    job = board.job(job_id)
    assert (job["state"], job["result"], job["lease_owner"]) == ("succeeded", {"prediction": 0}, None)


def test_a_second_bell_for_a_claimed_job_finds_nothing(board: Board) -> None:
    job_id = board.accept()
    assert board.claim(job_id)
    assert board.claim(job_id, worker="w2") == []


def test_a_late_finish_of_a_lost_attempt_is_fenced_out(board: Board) -> None:
    job_id = board.accept()
    board.claim(job_id, worker="zombie")
    board.bury("zombie")
    board.take_back()
    board.claim(job_id, worker="w2")
    assert not board.finish(job_id, 1)
    assert board.finish(job_id, 2)


def test_finishing_twice_records_once(board: Board) -> None:
    job_id = board.accept()
    board.claim(job_id)
    assert board.finish(job_id, 1)
    assert not board.finish(job_id, 1, state="failed")
    assert board.job(job_id)["state"] == "succeeded"


def test_a_lease_without_a_beat_is_taken_back_and_the_row_then_runs_alone(board: Board) -> None:
    lost, neighbour = board.accept(), board.accept()
    board.claim(lost)
    board.run("UPDATE workers SET beat_at = now() - interval '9 seconds'")
    assert [row["id"] for row in board.take_back()] == [lost]
    job = board.job(lost)
    assert (job["state"], job["alone"], job["attempt"]) == ("queued", True, 1)
    assert [row["id"] for row in board.claim(lost, neighbour)] == [neighbour]
    assert [row["id"] for row in board.claim(lost)] == [lost]


def test_a_lease_that_beats_is_left_alone(board: Board) -> None:
    board.claim(board.accept())
    assert board.take_back() == []


def test_silence_is_not_judged_before_the_sweeper_has_been_steady_for_a_lease(board: Board) -> None:
    board.claim(board.accept())
    board.run("UPDATE workers SET beat_at = now() - interval '1 hour'")
    assert board.take_back(judge_silence=False) == []


def test_the_jobs_of_a_worker_known_to_be_gone_are_taken_back_at_once(board: Board) -> None:
    job_id = board.accept()
    board.claim(job_id)
    board.bury("w1")
    assert [row["id"] for row in board.take_back(judge_silence=False)] == [job_id]


def test_used_up_attempts_end_in_failed_with_a_code_that_says_why(board: Board) -> None:
    job_id = board.accept(max_attempts=2)
    for _ in range(2):
        board.run("UPDATE jobs SET run_after = now() WHERE id = %(id)s", id=job_id)
        board.claim(job_id)
        board.bury("w1")
        board.take_back()
    job = board.job(job_id)
    assert (job["state"], job["error_code"], job["attempt"]) == ("failed", "worker_lost", 2)


def test_a_job_that_runs_past_its_time_limit_by_itself_fails_at_once_and_names_the_setting(board: Board) -> None:
    job_id = board.accept(max_attempts=5, hard_limit=70)
    board.claim(job_id)
    board.overrun(job_id)
    board.take_back()
    job = board.job(job_id)
    assert (job["state"], job["error_code"], job["attempt"]) == ("failed", "timeout", 1)
    assert "70 s" in job["error_detail"]
    assert "AI_PLATFORM_JOBS__HARD_LIMIT_SECONDS" in job["error_detail"]


def test_of_jobs_that_ran_past_the_limit_together_each_has_a_try_by_itself(board: Board) -> None:
    ids = [board.accept(max_attempts=5), board.accept(max_attempts=5)]
    board.claim(*ids)
    for job_id in ids:
        board.overrun(job_id)
    board.take_back()
    assert {board.job(job_id)["state"] for job_id in ids} == {"queued"}
    board.run("UPDATE jobs SET run_after = now()")
    board.claim(ids[0])
    board.overrun(ids[0])
    board.take_back()
    assert [(board.job(job_id)["state"], board.job(job_id)["attempt"]) for job_id in ids] == [
        ("failed", 2),
        ("queued", 1),
    ]


def test_a_job_whose_worker_died_is_begun_again_however_long_ago_that_was(board: Board) -> None:
    job_id = board.accept(max_attempts=5)
    board.claim(job_id)
    board.overrun(job_id)
    board.bury("w1")
    board.take_back()
    assert board.job(job_id)["state"] == "queued"


def test_a_cancelled_running_job_records_no_result(board: Board) -> None:
    job_id = board.accept()
    board.claim(job_id)
    assert board.run(statements.CANCEL, id=job_id, owner="anonymous")
    assert not board.finish(job_id, 1)
    assert board.job(job_id)["state"] == "cancelled"


def test_only_its_owner_can_cancel_a_job(board: Board) -> None:
    job_id = board.accept(owner="ann")
    assert board.run(statements.CANCEL, id=job_id, owner="bob") == []


def test_an_overdue_job_expires_and_is_not_claimed(board: Board) -> None:
    job_id = board.accept()
    board.run("UPDATE jobs SET expires_at = now() WHERE id = %(id)s", id=job_id)
    assert board.claim(job_id) == []
    assert [row["id"] for row in board.run(statements.EXPIRE)] == [job_id]
    assert board.job(job_id)["state"] == "expired"


def test_a_released_job_keeps_its_attempt_and_waits_a_second(board: Board) -> None:
    job_id = board.accept()
    board.claim(job_id)
    assert board.run(statements.RELEASE, ids=[job_id], attempts=[1])
    assert board.job(job_id)["attempt"] == 1
    assert board.claim(job_id) == []  # not before its second is over


def test_an_expired_idempotency_key_is_free_again(board: Board) -> None:
    first = board.accept("the-key-1")
    assert not board.run("SELECT 1 FROM jobs WHERE id = %(id)s", id=board.accept("the-key-1"))
    board.run("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
    again = board.accept("the-key-1")
    assert board.job(again)["id"] != first


def test_accepting_twice_after_a_lost_answer_makes_one_job(board: Board) -> None:
    job_id = board.accept()
    assert board.accept(job_id=job_id) == job_id
    assert len(board.run("SELECT 1 FROM jobs")) == 1


@pytest.mark.parametrize("final", ["succeeded", "failed", "cancelled", "expired"])
def test_the_database_refuses_to_change_a_final_row(board: Board, final: str) -> None:
    job_id = board.accept()
    if final in {"succeeded", "failed"}:
        board.claim(job_id)
        board.finish(job_id, 1, state=final)
    elif final == "cancelled":
        board.run(statements.CANCEL, id=job_id, owner="anonymous")
    else:
        board.run("UPDATE jobs SET expires_at = now()")
        board.run(statements.EXPIRE)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="final"):
        board.run("UPDATE jobs SET owner = owner WHERE id = %(id)s", id=job_id)


@pytest.mark.parametrize(
    "change",
    [
        "attempt = attempt - 1",
        "state = 'succeeded', result = '{}', finished_at = now()",  # not from queued
        "state = 'running'",  # without a lease
        "version = 2",
        "finished_at = now()",
        "error_code = 'x'",
        "attempt = max_attempts + 1",
    ],
)
def test_the_database_refuses_a_row_that_breaks_an_invariant(board: Board, change: str) -> None:
    job_id = board.accept()
    with pytest.raises(psycopg.IntegrityError):
        board.run(f"UPDATE jobs SET {change} WHERE id = %(id)s", id=job_id)


def test_the_oldest_claim_takes_jobs_of_one_version_alone(board: Board) -> None:
    board.run("INSERT INTO models (name) VALUES ('other')")
    board.run(
        "INSERT INTO model_versions (model, version, sha256, format, manifest, manifest_signature, created_by)"
        " SELECT 'other', 1, sha256, format, manifest, manifest_signature, created_by FROM model_versions"
    )
    first, other, second = board.accept(), board.accept(model="other"), board.accept()
    assert {row["id"] for row in board.claim_oldest()} == {first, second}
    assert [row["id"] for row in board.claim_oldest()] == [other]
    assert board.claim_oldest() == []


def test_the_oldest_claim_takes_a_lone_row_by_itself(board: Board) -> None:
    lone, neighbour = board.accept(), board.accept()
    board.run("UPDATE jobs SET alone = true, run_after = now() - interval '1 minute' WHERE id = %(id)s", id=lone)
    assert [row["id"] for row in board.claim_oldest()] == [lone]
    assert [row["id"] for row in board.claim_oldest()] == [neighbour]


def test_two_workers_that_claim_the_oldest_share_the_queue_without_waiting(board: Board, settings: Settings) -> None:
    ids = {board.accept() for _ in range(6)}
    with postgres.connect(settings, "second") as connection:
        second = Board(connection)
        with board.connection.transaction():
            mine = {row["id"] for row in board.claim_oldest(limit=2)}
            theirs = {row["id"] for row in second.claim_oldest(worker="w2", limit=10)}
    assert len(mine) == 2
    assert theirs == ids - mine


def test_a_worker_that_may_hold_unknown_jobs_gives_all_of_them_back(board: Board) -> None:
    job_id = board.accept()
    board.claim(job_id)
    board.run(statements.GIVE_BACK, worker="w1")
    assert board.job(job_id)["state"] == "queued"


@pytest.mark.parametrize("statement", [statements.RELEASE, statements.GIVE_BACK])
def test_what_is_given_back_at_the_last_attempt_fails_rather_than_waits_for_ever(board: Board, statement: str) -> None:
    job_id = board.accept(max_attempts=1)
    board.claim(job_id)
    board.run(statement, worker="w1", ids=[job_id], attempts=[1])
    assert board.job(job_id)["state"] == "failed"


def test_the_time_limit_of_a_job_is_its_own(board: Board) -> None:
    job_id = board.accept(hard_limit=5.0)
    (claimed,) = board.claim(job_id)
    assert claimed["hard_limit_seconds"] == 5
    lease = board.run("SELECT extract(epoch FROM lease_until - now())::float AS lasts FROM jobs")
    assert 3 < lease[0]["lasts"] <= 5
