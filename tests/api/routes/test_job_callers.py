"""What callers can do with their jobs: follow, list, retry, prefer, let expire; and what bounds them."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import psycopg
import pytest

from ai_platform.settings import Settings
from harness import SAMPLE, Platform, eventually


@pytest.fixture(scope="module")
def api_alone(module_settings: Settings) -> Iterator[Platform]:
    with Platform.running(module_settings, "api") as platform:
        yield platform


@pytest.fixture
def idle(api_alone: Platform) -> Iterator[Platform]:
    """An API without a worker and without a job: what is accepted stays queued."""
    yield api_alone
    for name in ("worker", "sweeper"):
        if name in api_alone.parts:
            api_alone.parts.pop(name).kill()
    with psycopg.connect(api_alone.settings.database_dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE jobs, idempotency_keys, workers")


@pytest.fixture
def crowded(settings: Settings) -> Iterator[Platform]:
    """The same with little room: five queued jobs an owner, seven in all."""
    jobs = settings.jobs.model_copy(update={"max_queued_per_owner": 5, "max_queued_jobs": 7})
    with Platform.running(settings.model_copy(update={"jobs": jobs}), "api") as platform:
        yield platform


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream that has ended."""
    found = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines:
            found.append({"id": int(lines["id"]), "event": lines["event"], "job": json.loads(lines["data"])})
    return found


def test_events_tell_of_each_stage_and_end_with_the_final_one(platform: Platform) -> None:
    job_id = platform.accept()
    answer = platform.client.get(f"/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    told = events(answer)
    assert told[-1]["event"] == "succeeded"
    assert told[-1]["job"]["result"]["label"] == "setosa"
    assert [event["id"] for event in told] == sorted({event["id"] for event in told})


def test_a_stream_resumes_after_the_last_event_and_a_finished_one_is_not_repeated(platform: Platform) -> None:
    job_id = platform.accept()
    last = events(platform.client.get(f"/jobs/{job_id}/events"))[-1]["id"]
    resumed = events(platform.client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(last - 1)}))
    assert [event["event"] for event in resumed] == ["succeeded"]
    ended = platform.client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(last)})
    assert (ended.status_code, ended.content) == (204, b"")


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "99999999999"])
def test_a_malformed_last_event_id_is_refused(platform: Platform, given: str) -> None:
    job_id = platform.accept()
    answer = platform.client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": given})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_header")


def test_a_cancel_reaches_a_stream_that_is_open(idle: Platform) -> None:
    job_id = idle.accept()
    with idle.client.stream("GET", f"/jobs/{job_id}/events") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: queued"
        assert httpx.post(f"{idle.url}/jobs/{job_id}/cancel").json()["status"] == "cancelled"
        assert next(line for line in lines if line.startswith("event")) == "event: cancelled"
        assert list(lines)[-1] == ""  # the server ends the stream


def test_events_of_another_job_do_not_exist(platform: Platform) -> None:
    answer = platform.client.get("/jobs/01a20929-a275-761e-976d-94e2e7995b6f/events")
    assert answer.status_code == 404


def test_a_caller_who_waits_gets_the_result_and_one_who_does_not_gets_202(platform: Platform) -> None:
    waited = platform.client.post("/predict/", json=SAMPLE, headers={"Prefer": "respond-async, wait=20"})
    assert waited.status_code == 200
    assert waited.json()["label"] == "setosa"
    assert waited.headers["location"] == f"/jobs/{waited.json()['id']}"
    assert waited.headers["preference-applied"] == "respond-async"


def test_a_wait_that_is_too_short_ends_in_202(idle: Platform) -> None:
    answer = idle.client.post("/predict/", json=SAMPLE, headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("preference", ["handling=lenient", "wait=5", "wait=soon, return=minimal", ""])
def test_other_preferences_are_ignored(platform: Platform, preference: str) -> None:
    assert platform.client.post("/predict/", json=SAMPLE, headers={"Prefer": preference}).status_code == 200


def test_pages_list_each_job_once_newest_first(platform: Platform) -> None:
    made = [platform.accept() for _ in range(7)]
    for job_id in made:
        platform.job(job_id, wait=10)
    found: list[str] = []
    url = "/jobs?limit=3&status=succeeded&model=iris"
    while url:
        page = platform.client.get(url).json()
        assert len(page["jobs"]) <= 3
        found += [job["id"] for job in page["jobs"]]
        url = page["next"]
    assert len(found) == len(set(found))
    assert found[:7] == made[::-1]


def test_a_list_can_be_narrowed_by_status(platform: Platform) -> None:
    platform.job(platform.accept(), wait=10)
    assert platform.client.get("/jobs?status=failed").json() == {"jobs": [], "next": None}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "invalid_parameter"),
        ("limit=-1", 422, "invalid_parameter"),
        ("limit=201", 422, "invalid_parameter"),
        (f"limit={10**30}", 422, "invalid_parameter"),
        ("limit=ten", 422, "invalid_parameter"),
        ("limit=1&limit=2", 422, "invalid_parameter"),
        ("status=done", 422, "invalid_parameter"),
        ("model=../x", 422, "invalid_parameter"),
        ("colour=red", 422, "invalid_parameter"),
        ("cursor=", 400, "invalid_cursor"),
        ("cursor=AAAA", 400, "invalid_cursor"),
        ("cursor=%00%ff", 400, "invalid_cursor"),
        ("cursor=" + "A" * 27, 400, "invalid_cursor"),
    ],
)
def test_a_malformed_page_is_refused(platform: Platform, query: str, status: int, code: str) -> None:
    answer = platform.client.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_tampered_cursor_is_refused(platform: Platform) -> None:
    for _ in range(2):
        platform.accept()
    following = platform.client.get("/jobs?limit=1").json()["next"]
    swapped = following[:-1] + ("A" if following[-1] != "A" else "B")
    assert platform.client.get(swapped).json()["code"] == "invalid_cursor"


def test_a_job_that_was_cancelled_can_be_retried_as_a_new_one_that_names_it(idle: Platform) -> None:
    old = idle.accept()
    assert idle.client.post(f"/jobs/{old}/retry").json()["code"] == "job_not_retryable"
    idle.client.post(f"/jobs/{old}/cancel")
    answer = idle.client.post(f"/jobs/{old}/retry")
    assert answer.status_code == 202
    new = idle.job(answer.json()["id"])
    assert (new["retry_of"], new["status"], new["version"]) == (old, "queued", 1)
    assert idle.job(old)["status"] == "cancelled"
    assert answer.headers["location"] == f"/jobs/{new['id']}"


def test_a_succeeded_job_cannot_be_retried(platform: Platform) -> None:
    job_id = platform.accept()
    platform.job(job_id, wait=10)
    answer = platform.client.post(f"/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_retryable")


def test_a_retried_job_gives_the_same_result(idle: Platform) -> None:
    old = idle.accept({"features": [6.3, 3.3, 6.0, 2.5]})
    idle.client.post(f"/jobs/{old}/cancel")
    new = idle.client.post(f"/jobs/{old}/retry").json()["id"]
    idle.start("worker")
    assert idle.job(new, wait=25)["result"]["label"] == "virginica"


def test_a_job_that_was_not_started_in_time_expires(idle: Platform) -> None:
    answer = idle.client.post("/predict/async?expires_in=0.2", json=SAMPLE)
    job_id = answer.json()["id"]
    assert idle.job(job_id)["expires_at"]
    idle.start("sweeper")
    assert idle.job(job_id, wait=10)["status"] == "expired"


@pytest.mark.parametrize(("query", "seconds"), [("", 30), ("?expires_in=20", 20), ("?expires_in=40", 30)])
def test_a_caller_who_waits_only_so_long_has_a_job_that_lives_no_longer(
    platform: Platform, query: str, seconds: int
) -> None:
    headers = {"X-Request-Timeout-Ms": "30000"}
    job = platform.job(platform.client.post(f"/predict/async{query}", json=SAMPLE, headers=headers).json()["id"])
    lifetime = datetime.fromisoformat(job["expires_at"]) - datetime.fromisoformat(job["created_at"])
    assert lifetime.total_seconds() == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("given", ["0", "-1", "nan", "soon", "86401", "1&expires_in=2"])
def test_a_deadline_in_the_past_or_of_no_form_is_refused(platform: Platform, given: str) -> None:
    answer = platform.client.post(f"/predict/async?expires_in={given}", json=SAMPLE)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


def test_an_owner_whose_queue_is_full_gets_429_with_an_honest_retry_after(crowded: Platform) -> None:
    for _ in range(5):
        crowded.accept()
    refused = crowded.client.post("/predict/async", json=SAMPLE)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert refused.headers["retry-after"] == "300"  # nothing drains
    listed = crowded.client.get("/jobs").json()["jobs"]
    crowded.client.post(f"/jobs/{listed[0]['id']}/cancel")
    eventually(lambda: crowded.client.post("/predict/async", json=SAMPLE).status_code == 202, 20, "there is room again")


def test_a_full_queue_still_answers_for_what_was_accepted_before(crowded: Platform) -> None:
    headers = {"Idempotency-Key": "before-the-crowd"}
    job_id = crowded.accept(SAMPLE, **headers)
    for _ in range(4):
        crowded.accept()
    assert crowded.client.post("/predict/async", json=SAMPLE).status_code == 429
    again = crowded.client.post("/predict/async", json=SAMPLE, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, job_id)
    new = crowded.client.post("/predict/async", json=SAMPLE, headers={"Idempotency-Key": "one-too-many"})
    assert new.status_code == 429


def test_a_retry_with_a_key_is_made_once(idle: Platform) -> None:
    old = idle.accept()
    idle.client.post(f"/jobs/{old}/cancel")
    headers = {"Idempotency-Key": "retry-only-once"}
    first, second = (idle.client.post(f"/jobs/{old}/retry", headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotent-replayed"] == "true"


def test_a_list_carries_no_results(platform: Platform) -> None:
    platform.job(platform.accept(), wait=10)
    (job,) = platform.client.get("/jobs?limit=1&status=succeeded").json()["jobs"]
    assert "result" not in job


def test_a_full_queue_gives_503_to_everybody(crowded: Platform) -> None:
    with psycopg.connect(crowded.settings.database_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO jobs (id, owner, model, version, input, max_attempts, hard_limit_seconds)"
            " SELECT gen_random_uuid(), 'others', 'iris', 1, '{}', 5, 60 FROM generate_series(1, 7)"
        )

    def refused() -> bool:
        answer = crowded.client.post("/predict/async", json=SAMPLE)
        return answer.status_code == 503 and answer.json()["code"] == "queue_full" and "retry-after" in answer.headers

    eventually(refused, 20, "the queue is full")


def test_health_and_metrics_tell_how_much_waits(idle: Platform) -> None:
    for _ in range(3):
        idle.accept()
    waiting = idle.client.get("/health").json()["jobs"]
    assert waiting["queued"] == 3
    assert waiting["oldest_queued_seconds"] >= 0
    text = idle.client.get("/metrics").text
    assert 'aip_jobs{state="queued"} 3.0' in text
    assert 'aip_invariant_broken_rows{invariant="success_has_one_result"} 0.0' in text


def test_a_replayed_request_names_the_version_that_its_job_is_pinned_to(platform: Platform) -> None:
    headers = {"Idempotency-Key": "pinned-version"}
    job_id = platform.accept(SAMPLE, **headers)
    platform.job(job_id, wait=10)
    again = platform.client.post("/predict/async", json=SAMPLE, headers=headers).json()
    assert (again["id"], again["status"], again["version"]) == (job_id, "succeeded", 1)
