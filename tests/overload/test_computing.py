"""Models that hold the interpreter's lock, in a process of their own: what callers see of it, and what they do not."""

import random
from typing import Any

import pytest

from harness import SAMPLE
from overload.conftest import Site
from overload.costly import FINE, RAISES


def test_numbers_come_back_as_they_were_made(site: Site) -> None:
    rows = [[random.uniform(-1e9, 1e9), 0, 0] for _ in range(200)]
    answer = site.client.post("/models/costly/predict", json={"instances": rows}).json()
    assert answer["predictions"] == [row[0] * 2 for row in rows]


def test_a_slow_model_delays_neither_another_nor_the_health_check(site: Site) -> None:
    slow = site.begin(101, 0.5)
    for _ in range(5):
        assert site.client.get("/health/live").status_code == 200
        assert site.client.post("/predict/", json=SAMPLE).json()["prediction"] == 0
    assert not slow.done()
    assert slow.result(10).json()["prediction"] == 202


def test_a_row_that_raises_fails_alone_among_those_that_waited_with_it(site: Site) -> None:
    running = site.begin(110, 0.3, "bulky")
    others = [site.later({"features": [111 + number, FINE, 0]}, "bulky") for number in range(4)]
    failing = site.later({"instances": [[120, RAISES, 0], [121, FINE, 0]]}, "bulky")
    assert failing.result(20).json()["code"] == "model_error"
    assert [other.result(20).json()["prediction"] for other in others] == [2 * (111 + number) for number in range(4)]
    assert running.result(20).status_code == 200


def test_whatever_is_computed_together_each_caller_gets_their_own(site: Site) -> None:
    running = site.begin(130, 0.3, "bulky")
    sizes = [0, *(random.randint(0, 40) for _ in range(18)), 1024]
    bodies: list[dict[str, Any]] = [
        {"instances": [[1000 * place + row, FINE, 0] for row in range(size)]}
        if size
        else {"features": [1000 * place, FINE, 0]}
        for place, size in enumerate(sizes, start=1)
    ]
    calls = len(site.seen())
    asked = [site.later(body, "bulky") for body in bodies]
    for size, place, future in zip(sizes, range(1, 99), asked, strict=False):
        answer = future.result(20).json()
        assert "model" in answer, answer
        if size:
            assert answer["predictions"] == [2 * (1000 * place + row) for row in range(size)]
        else:
            assert answer["prediction"] == 2000 * place
    assert running.result(20).status_code == 200
    assert len(site.seen()) - calls < len(sizes), "some were computed together"


def test_a_deadline_that_passes_in_the_queue_is_told_at_once_and_the_model_never_sees_it(site: Site) -> None:
    running = site.begin(140, 0.4)
    late = site.later({"features": [141, FINE, 0]}, **{"X-Request-Timeout-Ms": "300"}).result(20)
    assert (late.status_code, late.json()["code"]) in {(504, "deadline_exceeded"), (503, "overloaded")}
    assert running.result(20).status_code == 200
    assert site.ask([142, FINE, 0]).status_code == 200
    assert ["141"] not in site.seen()


@pytest.mark.parametrize("given", ["0", "30001", "1.5", "-1", "soon", ""])
def test_a_deadline_that_is_none_is_refused(site: Site, given: str) -> None:
    answer = site.ask([1, FINE, 0], **{"X-Request-Timeout-Ms": given})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_header")
    assert "X-Request-Timeout-Ms" in answer.json()["detail"]
