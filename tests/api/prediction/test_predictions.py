"""Synchronous predictions over a real socket."""

import uuid

import pytest

from ai_platform.training.iris import EXAMPLE
from harness import SAMPLE, Platform

NAMED = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
MANY = {"instances": [[5.1, 3.5, 1.4, 0.2], {**NAMED, "petal_length": 5.9, "petal_width": 2.2}]}


def test_the_service_says_what_it_is(platform: Platform) -> None:
    answer = platform.client.get("/")
    assert answer.status_code == 200
    assert answer.json()["service"] == "AI Platform"


def test_iris_is_predicted_as_the_contract_says(platform: Platform) -> None:
    answer = platform.client.post("/predict/", json=SAMPLE)
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["prediction", "label", "probabilities", "classes", "model", "version", "id"]
    assert (body["prediction"], body["label"]) == (0, "setosa")
    assert body["classes"] == ["setosa", "versicolor", "virginica"]
    assert (body["model"], body["version"]) == ("iris", 1)
    assert body["probabilities"] == pytest.approx([0.98, 0.02, 0.0], abs=0.01)
    assert sum(body["probabilities"]) == pytest.approx(1)


@pytest.mark.parametrize("path", ["/predict", "/predict/", "/models/iris/predict", "/models/iris/versions/1/predict"])
def test_every_way_to_iris_gives_the_same_answer_without_a_redirect(platform: Platform, path: str) -> None:
    expected = platform.client.post("/predict/", json=SAMPLE).json()
    answer = platform.client.post(path, json=SAMPLE, follow_redirects=False)
    assert answer.status_code == 200
    assert {**answer.json(), "id": ""} == {**expected, "id": ""}


def test_features_by_name_and_by_position_are_the_same_input(platform: Platform) -> None:
    by_position = platform.client.post("/predict/", json=SAMPLE).json()
    by_name = platform.client.post("/predict/", json={"features": dict(reversed(NAMED.items()))}).json()
    assert by_name["probabilities"] == by_position["probabilities"]


def test_many_instances_give_aligned_columns(platform: Platform) -> None:
    body = platform.client.post("/predict/", json=MANY).json()
    assert body["predictions"] == [0, 2]
    assert body["labels"] == ["setosa", "virginica"]
    assert len(body["probabilities"]) == 2


def test_a_given_request_id_comes_back_and_one_is_made_when_none_is_given(platform: Platform) -> None:
    given = platform.client.post("/predict/", json=SAMPLE, headers={"X-Request-ID": "mine-1"})
    made = platform.client.post("/predict/", json=SAMPLE)
    assert given.headers["x-request-id"] == "mine-1"
    assert uuid.UUID(made.headers["x-request-id"]).version == 7


@pytest.mark.parametrize("given", ["with space", "x" * 129])
def test_a_request_id_that_could_spoil_a_log_is_replaced(platform: Platform, given: str) -> None:
    answer = platform.client.post("/predict/", json=SAMPLE, headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given


def test_each_answer_has_an_id_of_its_own(platform: Platform) -> None:
    ids = {platform.client.post("/predict/", json=SAMPLE).json()["id"] for _ in range(5)}
    assert len(ids) == 5


def test_the_same_rows_together_and_alone_give_the_same_numbers(platform: Platform) -> None:
    rows = [list(EXAMPLE), [6.0, 2.9, 4.5, 1.5], [7.7, 2.6, 6.9, 2.3]]
    together = platform.client.post("/predict/", json={"instances": rows}).json()["probabilities"]
    alone = [platform.client.post("/predict/", json={"features": row}).json()["probabilities"] for row in rows]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_health_names_the_model_and_every_neighbour(platform: Platform) -> None:
    answer = platform.client.get("/health")
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "ok"
    assert body["model"] == {"status": "ok", "name": "iris", "version": 1}
    assert body["redis"]["latency_ms"] > 0
    assert body["postgres"]["latency_ms"] > 0
    assert body["workers"]["alive"] >= 1


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_liveness_and_readiness_answer(platform: Platform, path: str) -> None:
    assert platform.client.get(path).json()["status"] == "ok"


def test_metrics_count_predictions_and_requests_by_route(platform: Platform) -> None:
    platform.client.post("/predict/", json=MANY)
    text = platform.client.get("/metrics").text
    assert 'aip_predictions_total{model="iris",version="1",way="sync"}' in text
    assert 'aip_requests_total{method="POST",route="/predict/",status="200"}' in text
    assert 'aip_jobs{state="queued"}' in text


def test_paths_that_do_not_exist_share_one_metric(platform: Platform) -> None:
    for number in range(3):
        platform.client.get(f"/nowhere/{number}")
    text = platform.client.get("/metrics").text
    assert 'route="unmatched"' in text
    assert "nowhere" not in text


def test_docs_load_nothing_from_elsewhere(platform: Platform) -> None:
    page = platform.client.get("/docs").text
    assert "http" not in page.replace("http-equiv", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert platform.client.get(f"/docs/{name}").status_code == 200


def test_every_example_of_the_openapi_document_runs(platform: Platform) -> None:
    document = platform.client.get("/openapi.json").json()
    ran = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in media.get("examples", {}).values():
                at = path.replace("{name}", "iris").replace("{version}", "1").replace("{alias}", "production")
                answer = platform.client.request(method, at, json=example["value"])
                assert answer.status_code in {200, 202}, (path, answer.text)
                assert str(answer.status_code) in operation["responses"]
                ran += 1
    assert ran == 24
