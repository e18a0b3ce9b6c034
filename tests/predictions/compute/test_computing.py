"""Models that hold the GIL, in a process of their own: what callers see of it, and what they do not."""

import os
import random
from typing import Any

import psutil
import pytest

from ai_platform.predictions.compute.child import NICER, STARTING_NICER
from harness import SAMPLE
from predictions.compute.conftest import Site
from predictions.compute.costly import FINE, RAISES


def test_numbers_come_back_as_they_were_made(site: Site) -> None:
    rows = [[random.uniform(-1e9, 1e9), 0, 0] for _ in range(200)]
    answer = site.client.post("/models/costly/predict", json={"instances": rows}).json()
    assert answer["predictions"] == [row[0] * 2 for row in rows]


def test_a_model_that_computes_delays_neither_another_nor_the_health_check(site: Site) -> None:
    with site.held(101):
        for _ in range(5):
            assert site.client.get("/health/live").status_code == 200
            assert site.client.post("/predict/", json=SAMPLE).json()["prediction"] == 0


def test_the_thread_that_computes_gives_way_and_the_one_that_loads_goes_on(site: Site) -> None:
    """At the niceness of the first, a process beside busy ones would hardly ever have started and loaded."""
    assert site.ask([1.0, FINE, 0.0]).status_code == 200
    threads = psutil.Process(site.compute_process()).threads()
    nicenesses = [os.getpriority(os.PRIO_PROCESS, thread.id) for thread in threads]
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert sorted(set(nicenesses)) == [min(19, ours + STARTING_NICER), min(19, ours + NICER)]
    assert os.getpriority(os.PRIO_PROCESS, site.compute_process()) == min(19, ours + NICER)


def test_one_row_that_raises_fails_alone_among_those_that_waited_with_it(site: Site) -> None:
    with site.held(110, "bulky"):
        others = [site.later({"features": [111 + number, FINE, 0]}, "bulky") for number in range(4)]
        failing = site.later({"instances": [[120, RAISES, 0], [121, FINE, 0]]}, "bulky")
        site.waiting(5)
    assert failing.result(20).json()["code"] == "model_error"
    assert [other.result(20).json()["prediction"] for other in others] == [2 * (111 + number) for number in range(4)]


def test_whatever_is_computed_together_each_caller_gets_their_own(site: Site) -> None:
    sizes = [0, *(random.randint(0, 40) for _ in range(18)), 1024]
    with site.held(130, "bulky"):
        calls = len(site.seen())
        asked = [site.later(_body(place, size), "bulky") for place, size in enumerate(sizes)]
        site.waiting(len(sizes))
    for place, (size, future) in enumerate(zip(sizes, asked, strict=True)):
        answer = future.result(20).json()
        if size:
            assert answer["predictions"] == [2 * (1000 * place + row) for row in range(size)]
        else:
            assert answer["prediction"] == 2000 * place
    assert len(site.seen()) - calls < len(sizes), "none were computed together"


def _body(place: int, size: int) -> dict[str, Any]:
    """So many instances; for 0, one as `features`."""
    if not size:
        return {"features": [1000 * place, FINE, 0]}
    return {"instances": [[1000 * place + row, FINE, 0] for row in range(size)]}


def test_a_deadline_that_passes_in_the_queue_is_told_at_once_and_the_model_never_sees_it(site: Site) -> None:
    with site.held(140):
        late = site.later({"features": [141, FINE, 0]}, **{"X-Request-Timeout-Ms": "300"}).result(20)
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        hurried = site.later({"features": [142, FINE, 0]}, **{"X-Request-Timeout-Ms": "1"}).result(20)
        assert hurried.json()["code"] in {"deadline_exceeded", "overloaded"}
    assert site.ask([143, FINE, 0]).status_code == 200
    assert not [call for call in site.seen() if {"141", "142"} & set(call)]


@pytest.mark.parametrize("given", ["0", "30001", "1.5", "-1", "soon", ""])
def test_a_deadline_that_is_none_is_refused(site: Site, given: str) -> None:
    answer = site.ask([1, FINE, 0], **{"X-Request-Timeout-Ms": given})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_header")
    assert "X-Request-Timeout-Ms" in answer.json()["detail"]
