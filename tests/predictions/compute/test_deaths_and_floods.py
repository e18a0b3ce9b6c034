"""What takes seconds of a compute process: deaths, floods, and the end of the process that started it."""

import os
import signal
import socket
import threading

import psutil
import pytest
from prometheus_client import REGISTRY

from ai_platform.predictions.compute import process
from ai_platform.settings import Settings
from api_in_thread import live
from harness import SAMPLE, Iris, Platform, eventually
from predictions.compute.conftest import Site
from predictions.compute.costly import DIES, FINE
from predictions.compute.flood import flood
from predictions.compute.publishing import SECONDS, publish_costly

pytestmark = pytest.mark.slow


def test_a_call_whose_process_is_killed_is_computed_by_the_next(site: Site) -> None:
    killed = site.compute_process()
    with site.held(102):
        os.kill(killed, signal.SIGKILL)
    assert site.compute_process() != killed
    assert site.seen().count(["102"]) == 2


def test_one_row_that_kills_its_process_fails_alone(site: Site) -> None:
    with site.held(103, "bulky"):
        poison = site.later({"features": [104, DIES, 0]}, "bulky")
        others = [site.later({"features": [105 + number, FINE, 0]}, "bulky") for number in range(4)]
        site.waiting(5)
    assert poison.result(20).json()["code"] == "model_error"
    assert [other.result(20).json()["prediction"] for other in others] == [2 * (105 + number) for number in range(4)]


def test_what_a_caller_who_has_left_had_asked_for_is_not_computed(site: Site) -> None:
    body = f'{{"features": [151, {FINE}, 0]}}'
    head = (
        f"POST /models/costly/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    left = {"model": "costly", "reason": "left"}
    with site.held(150):
        with socket.create_connection(("127.0.0.1", site.client.base_url.port or 0)) as caller:
            caller.sendall((head + body).encode())
            site.waiting(1)
        assert site.client.get("/health/live").status_code == 200  # the loop has seen what came before this
    eventually(lambda: REGISTRY.get_sample_value("aip_predictions_abandoned_total", left), what="it was let go")
    assert site.ask([152, FINE, 0]).status_code == 200
    assert ["151"] not in site.seen()


def test_a_call_beyond_its_time_limit_is_ended_and_the_next_is_answered(
    site: Site, module_settings: Settings, iris: Iris
) -> None:
    publish_costly(module_settings, iris, "limited", hard_limit=0.5)
    eventually(lambda: site.ask([1, FINE, 0], "limited").status_code == 200, 20, "it is loaded")
    slow = site.ask([160, FINE, 30], "limited")
    assert (slow.status_code, slow.json()["code"]) == (504, "model_too_slow")
    assert site.ask([161, FINE, 0], "limited").json()["prediction"] == 322


def test_where_no_process_can_be_started_threads_compute(
    settings: Settings, iris: Iris, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_costly(settings, iris)
    monkeypatch.setattr(process, "_MODULE", "ai_platform.predictions.nowhere")
    with live(settings) as url:
        site = Site(url, settings.data_dir / "seen")
        eventually(lambda: site.ask([170, FINE, 0]).status_code == 200, 20, "it is loaded")
        assert site.ask([170, FINE, 0.03]).json()["prediction"] == 340
        site.close()


@pytest.fixture
def flooded(settings: Settings, iris: Iris) -> Settings:
    publish_costly(settings, iris)
    return settings.model_copy(update={"api": settings.api.model_copy(update={"compute_processes": 1})})


def test_a_flood_is_answered_with_what_can_be_computed_and_refused_at_once(flooded: Settings) -> None:
    with Platform.running(flooded, "api") as platform:
        ask = f"{platform.url}/models/costly/predict"
        eventually(
            lambda: platform.client.post(ask, json={"features": [1, FINE, 0]}).status_code == 200, 20, "it loads"
        )
        beside: list[int] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                beside.append(platform.client.get("/health/live").status_code)
                beside.append(platform.client.post("/predict/", json=SAMPLE).status_code)

        watching = threading.Thread(target=watch)
        watching.start()
        told = flood(platform.port, "costly", SECONDS, rate=10 / SECONDS, seconds=3)
        ended.set()
        watching.join()
        assert {one.status for one in told} == {200, 503}
        assert all(one.body["prediction"] == 2 * one.number for one in told if one.status == 200)
        refused = [one for one in told if one.status == 503]
        assert all(one.body["code"] == "overloaded" and 1 <= int(one.headers["retry-after"]) <= 30 for one in refused)
        assert set(beside) == {200}
        again = {"features": [9e5, FINE, SECONDS]}
        eventually(lambda: platform.client.post(ask, json=again).status_code == 200, 5, "all is as before")


def test_compute_processes_die_with_their_api_process(flooded: Settings) -> None:
    with Platform.running(flooded, "api") as platform:
        api = psutil.Process(platform.parts["api"].pid)
        children = eventually(lambda: api.children(recursive=True), 20, "a compute process runs")
        os.kill(api.pid, signal.SIGKILL)
        eventually(lambda: not [child for child in children if child.is_running()], 10, "they are gone")
