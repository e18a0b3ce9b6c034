"""Asynchronous predictions over a real socket, computed by a real Celery worker."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness import SAMPLE, Platform

MANY = {"instances": [[5.1, 3.5, 1.4, 0.2], [7.7, 2.6, 6.9, 2.3]]}


@pytest.mark.parametrize("body", [SAMPLE, MANY], ids=["one instance", "many instances"])
def test_a_job_gives_the_result_object_of_the_synchronous_call(platform: Platform, body: Any) -> None:
    direct = platform.client.post("/predict/", json=body).json()
    job = platform.job(platform.accept(body), wait=10)
    assert job["status"] == "succeeded"
    result = job["result"]
    assert list(result) == list(direct)
    for name in direct.keys() - {"id", "probabilities"}:
        assert result[name] == direct[name]
    flat = _flat(result["probabilities"])
    expected = _flat(direct["probabilities"])
    assert flat == pytest.approx(expected, abs=1e-6)


def test_an_accepted_job_says_where_it_is(platform: Platform) -> None:
    answer = platform.client.post("/predict/async", json=SAMPLE)
    body = answer.json()
    assert answer.status_code == 202
    assert body["status"] == "queued"
    assert answer.headers["location"] == body["url"] == f"/jobs/{body['id']}"
    assert uuid.UUID(body["id"]).version == 7


@pytest.mark.parametrize(
    "endpoint", ["/predict/async", "/models/iris/predict/async", "/models/iris/versions/1/predict/async"]
)
def test_every_asynchronous_endpoint_makes_a_job(platform: Platform, endpoint: str) -> None:
    answer = platform.client.post(endpoint, json=SAMPLE)
    assert platform.job(answer.json()["id"], wait=10)["status"] == "succeeded"


def test_a_synchronous_endpoint_makes_a_job_when_the_caller_prefers_it(platform: Platform) -> None:
    answer = platform.client.post("/predict/", json=SAMPLE, headers={"Prefer": "return=minimal, respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"


def test_a_finished_job_tells_its_history(platform: Platform) -> None:
    job = platform.job(platform.accept(), wait=10)
    assert job["attempts"] == 1
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert (job["model"], job["version"]) == ("iris", 1)
    assert job["result"]["id"] == job["id"]
    assert "error" not in job


def test_the_same_key_and_body_give_the_same_job(platform: Platform) -> None:
    headers = {"Idempotency-Key": "order-4711"}
    first = platform.client.post("/predict/async", json=SAMPLE, headers=headers)
    again = platform.client.post("/predict/async", json=SAMPLE, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


def test_a_quoted_key_is_the_same_key(platform: Platform) -> None:
    plain = platform.accept(SAMPLE, **{"Idempotency-Key": "quoted-1"})
    assert platform.accept(SAMPLE, **{"Idempotency-Key": '"quoted-1"'}) == plain


def test_the_same_key_with_another_body_is_refused(platform: Platform) -> None:
    headers = {"Idempotency-Key": "order-4712"}
    platform.client.post("/predict/async", json=SAMPLE, headers=headers)
    answer = platform.client.post("/predict/async", json=MANY, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"


def test_a_hundred_equal_requests_at_once_make_one_job(platform: Platform) -> None:
    with ThreadPoolExecutor(25) as threads:
        ids = list(threads.map(lambda _: platform.accept(SAMPLE, **{"Idempotency-Key": "stampede"}), range(100)))
    assert len(set(ids)) == 1


def test_many_jobs_at_once_all_succeed_with_their_own_results(platform: Platform) -> None:
    bodies = [{"features": [4 + n / 50, 3.0, 1 + n / 20, n / 40]} for n in range(100)]
    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(platform.accept, bodies))
        jobs = list(threads.map(lambda job_id: platform.job(job_id, wait=20), ids))
        direct = list(threads.map(lambda body: platform.client.post("/predict/", json=body).json(), bodies))
    assert {job["status"] for job in jobs} == {"succeeded"}
    for job, expected in zip(jobs, direct, strict=True):
        assert job["result"]["prediction"] == expected["prediction"]
        assert job["result"]["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)


def test_a_finished_job_cannot_be_cancelled(platform: Platform) -> None:
    job_id = platform.accept()
    platform.job(job_id, wait=10)
    answer = platform.client.post(f"/jobs/{job_id}/cancel")
    assert answer.status_code == 409
    assert answer.json()["code"] == "job_already_finished"


def test_answers_of_jobs_are_never_cached_by_anybody(platform: Platform) -> None:
    job_id = platform.accept()
    assert platform.client.get(f"/jobs/{job_id}").headers["cache-control"] == "no-store"


def test_a_refused_body_makes_no_job(platform: Platform) -> None:
    before = metric(platform, "aip_jobs_accepted_total")
    platform.client.post("/predict/async", content=json.dumps({"features": [1]}),
                         headers={"Content-Type": "application/json"})  # fmt: skip
    assert metric(platform, "aip_jobs_accepted_total") == before


def _flat(numbers: list[Any]) -> list[float]:
    return [number for row in numbers for number in (row if isinstance(row, list) else [row])]


def metric(platform: Platform, name: str) -> float:
    lines = platform.client.get("/metrics").text.splitlines()
    return next((float(line.split(" ")[1]) for line in lines if line.startswith(f"{name} ")), 0.0)
