"""The state machine, on real PostgreSQL: each statement, its fence, and what the database itself refuses."""

import psycopg
import pytest

from ai_platform.jobs import statements
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from job_table import JobTable


def test_a_job_goes_from_queued_through_running_to_succeeded(job_table: JobTable) -> None:
    job_id = job_table.accept()
    assert job_table.job(job_id)["state"] == "queued"
    (claimed,) = job_table.claim(job_id)
    assert claimed["attempt"] == 1
    assert job_table.job(job_id)["state"] == "running"
    assert job_table.finish(job_id, 1)
    job = job_table.job(job_id)
    assert (job["state"], job["result"], job["lease_owner"]) == ("succeeded", {"prediction": 0}, None)


def test_another_notification_for_a_claimed_job_finds_nothing(job_table: JobTable) -> None:
    job_id = job_table.accept()
    assert job_table.claim(job_id)
    assert job_table.claim(job_id, worker="w2") == []


def test_a_late_finish_of_a_lost_attempt_is_fenced_out(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id, worker="zombie")
    job_table.delete_workers("zombie")
    job_table.rescue()
    job_table.claim(job_id, worker="w2")
    assert not job_table.finish(job_id, 1)
    assert job_table.finish(job_id, 2)


def test_finishing_twice_records_once(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id)
    assert job_table.finish(job_id, 1)
    assert not job_table.finish(job_id, 1, state="failed")
    assert job_table.job(job_id)["state"] == "succeeded"


def test_a_lease_without_a_beat_is_taken_back_and_the_row_then_runs_alone(job_table: JobTable) -> None:
    lost, neighbour = job_table.accept(), job_table.accept()
    job_table.claim(lost)
    job_table.run("UPDATE workers SET heartbeat_at = now() - interval '9 seconds'")
    assert [row["id"] for row in job_table.rescue()] == [lost]
    job = job_table.job(lost)
    assert (job["state"], job["isolated"], job["attempt"]) == ("queued", True, 1)
    assert [row["id"] for row in job_table.claim(lost, neighbour)] == [neighbour]
    assert [row["id"] for row in job_table.claim(lost)] == [lost]


def test_a_lease_that_beats_is_left_alone(job_table: JobTable) -> None:
    job_table.claim(job_table.accept())
    assert job_table.rescue() == []


def test_silence_is_not_judged_before_the_sweeper_has_been_steady_for_a_lease(job_table: JobTable) -> None:
    job_table.claim(job_table.accept())
    job_table.run("UPDATE workers SET heartbeat_at = now() - interval '1 hour'")
    assert job_table.rescue(judge_silence=False) == []


def test_the_jobs_of_a_worker_known_to_be_gone_are_taken_back_at_once(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id)
    job_table.delete_workers("w1")
    assert [row["id"] for row in job_table.rescue(judge_silence=False)] == [job_id]


def test_used_up_attempts_end_in_failed_with_a_code_that_says_why(job_table: JobTable) -> None:
    job_id = job_table.accept(max_attempts=2)
    for _ in range(2):
        job_table.run("UPDATE jobs SET run_after = now() WHERE id = %(id)s", id=job_id)
        job_table.claim(job_id)
        job_table.delete_workers("w1")
        job_table.rescue()
    job = job_table.job(job_id)
    assert (job["state"], job["error_code"], job["attempt"]) == ("failed", "worker_lost", 2)


def test_a_job_that_runs_past_its_time_limit_by_itself_fails_at_once_and_names_the_setting(job_table: JobTable) -> None:
    job_id = job_table.accept(max_attempts=5, hard_limit=70)
    job_table.claim(job_id)
    job_table.overrun(job_id)
    job_table.rescue()
    job = job_table.job(job_id)
    assert (job["state"], job["error_code"], job["attempt"]) == ("failed", "timeout", 1)
    assert "70 s" in job["error_detail"]
    assert "AI_PLATFORM_JOBS__HARD_LIMIT_SECONDS" in job["error_detail"]


def test_of_jobs_that_ran_past_the_limit_together_each_has_a_try_by_itself(job_table: JobTable) -> None:
    ids = [job_table.accept(max_attempts=5), job_table.accept(max_attempts=5)]
    job_table.claim(*ids)
    for job_id in ids:
        job_table.overrun(job_id)
    job_table.rescue()
    assert {job_table.job(job_id)["state"] for job_id in ids} == {"queued"}
    job_table.run("UPDATE jobs SET run_after = now()")
    job_table.claim(ids[0])
    job_table.overrun(ids[0])
    job_table.rescue()
    assert [(job_table.job(job_id)["state"], job_table.job(job_id)["attempt"]) for job_id in ids] == [
        ("failed", 2),
        ("queued", 1),
    ]


def test_a_job_whose_worker_died_is_begun_again_however_long_ago_that_was(job_table: JobTable) -> None:
    job_id = job_table.accept(max_attempts=5)
    job_table.claim(job_id)
    job_table.overrun(job_id)
    job_table.delete_workers("w1")
    job_table.rescue()
    assert job_table.job(job_id)["state"] == "queued"


def test_a_cancelled_running_job_records_no_result(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id)
    assert job_table.run(statements.CANCEL, id=job_id, owner="anonymous")
    assert not job_table.finish(job_id, 1)
    assert job_table.job(job_id)["state"] == "cancelled"


def test_only_its_owner_can_cancel_a_job(job_table: JobTable) -> None:
    job_id = job_table.accept(owner="ann")
    assert job_table.run(statements.CANCEL, id=job_id, owner="bob") == []


def test_an_overdue_job_expires_and_is_not_claimed(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.run("UPDATE jobs SET expires_at = now() WHERE id = %(id)s", id=job_id)
    assert job_table.claim(job_id) == []
    assert [row["id"] for row in job_table.run(statements.EXPIRE)] == [job_id]
    assert job_table.job(job_id)["state"] == "expired"


def test_a_released_job_keeps_its_attempt_and_waits_a_second(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id)
    assert job_table.run(statements.RELEASE, ids=[job_id], attempts=[1])
    assert job_table.job(job_id)["attempt"] == 1
    assert job_table.claim(job_id) == []  # not before its second is over


def test_an_expired_idempotency_key_is_free_again(job_table: JobTable) -> None:
    first = job_table.accept("the-key-1")
    assert not job_table.run("SELECT 1 FROM jobs WHERE id = %(id)s", id=job_table.accept("the-key-1"))
    job_table.run("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
    again = job_table.accept("the-key-1")
    assert job_table.job(again)["id"] != first


def test_accepting_twice_after_a_lost_answer_makes_one_job(job_table: JobTable) -> None:
    job_id = job_table.accept()
    assert job_table.accept(job_id=job_id) == job_id
    assert len(job_table.run("SELECT 1 FROM jobs")) == 1


@pytest.mark.parametrize("final", ["succeeded", "failed", "cancelled", "expired"])
def test_the_database_refuses_to_change_a_final_row(job_table: JobTable, final: str) -> None:
    job_id = job_table.accept()
    if final in {"succeeded", "failed"}:
        job_table.claim(job_id)
        job_table.finish(job_id, 1, state=final)
    elif final == "cancelled":
        job_table.run(statements.CANCEL, id=job_id, owner="anonymous")
    else:
        job_table.run("UPDATE jobs SET expires_at = now()")
        job_table.run(statements.EXPIRE)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="final"):
        job_table.run("UPDATE jobs SET owner = owner WHERE id = %(id)s", id=job_id)


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
def test_the_database_refuses_rows_that_break_an_invariant(job_table: JobTable, change: str) -> None:
    job_id = job_table.accept()
    with pytest.raises(psycopg.IntegrityError):
        job_table.run(f"UPDATE jobs SET {change} WHERE id = %(id)s", id=job_id)


def test_the_oldest_claim_takes_jobs_of_one_version_alone(job_table: JobTable) -> None:
    job_table.run("INSERT INTO models (name) VALUES ('other')")
    job_table.run(
        "INSERT INTO model_versions (model, version, sha256, format, manifest, manifest_signature, created_by)"
        " SELECT 'other', 1, sha256, format, manifest, manifest_signature, created_by FROM model_versions"
    )
    first, other, second = job_table.accept(), job_table.accept(model="other"), job_table.accept()
    assert {row["id"] for row in job_table.claim_oldest()} == {first, second}
    assert [row["id"] for row in job_table.claim_oldest()] == [other]
    assert job_table.claim_oldest() == []


def test_the_oldest_claim_takes_a_lone_row_by_itself(job_table: JobTable) -> None:
    lone, neighbour = job_table.accept(), job_table.accept()
    job_table.run("UPDATE jobs SET isolated = true, run_after = now() - interval '1 minute' WHERE id = %(id)s", id=lone)
    assert [row["id"] for row in job_table.claim_oldest()] == [lone]
    assert [row["id"] for row in job_table.claim_oldest()] == [neighbour]


def test_two_workers_that_claim_the_oldest_share_the_queue_without_waiting(
    job_table: JobTable, settings: Settings
) -> None:
    ids = {job_table.accept() for _ in range(6)}
    with Database.of(settings).connect("second") as connection:
        second = JobTable(connection)
        with job_table.connection.transaction():
            mine = {row["id"] for row in job_table.claim_oldest(limit=2)}
            theirs = {row["id"] for row in second.claim_oldest(worker="w2", limit=10)}
    assert len(mine) == 2
    assert theirs == ids - mine


def test_a_worker_that_may_hold_unknown_jobs_gives_all_of_them_back(job_table: JobTable) -> None:
    job_id = job_table.accept()
    job_table.claim(job_id)
    job_table.run(statements.RELEASE_ALL, worker="w1")
    assert job_table.job(job_id)["state"] == "queued"


@pytest.mark.parametrize("statement", [statements.RELEASE, statements.RELEASE_ALL])
def test_what_is_given_back_at_the_last_attempt_fails_rather_than_waits_for_ever(
    job_table: JobTable, statement: str
) -> None:
    job_id = job_table.accept(max_attempts=1)
    job_table.claim(job_id)
    job_table.run(statement, worker="w1", ids=[job_id], attempts=[1])
    assert job_table.job(job_id)["state"] == "failed"


def test_the_time_limit_of_a_job_is_its_own(job_table: JobTable) -> None:
    job_id = job_table.accept(hard_limit=5.0)
    (claimed,) = job_table.claim(job_id)
    assert claimed["hard_limit_seconds"] == 5
    lease = job_table.run("SELECT extract(epoch FROM lease_until - now())::float AS lasts FROM jobs")
    assert 3 < lease[0]["lasts"] <= 5
