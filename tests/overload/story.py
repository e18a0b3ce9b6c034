"""What takes seconds of a compute process: deaths, floods, and the end of the process that started it."""

import os
import signal

from overload.conftest import Site
from overload.costly import DIES, FINE


def test_a_call_whose_process_is_killed_is_computed_by_the_next(site: Site) -> None:
    killed = site.compute_process()
    computed = site.begin(102, 0.4)
    os.kill(killed, signal.SIGKILL)
    assert computed.result(20).json()["prediction"] == 204
    assert site.compute_process() != killed


def test_a_row_that_kills_its_process_fails_alone(site: Site) -> None:
    running = site.begin(103, 0.2, "bulky")
    poison = site.later({"features": [104, DIES, 0]}, "bulky")
    others = [site.later({"features": [105 + number, FINE, 0]}, "bulky") for number in range(4)]
    assert running.result(20).status_code == 200
    assert poison.result(20).json()["code"] == "model_error"
    assert [other.result(20).json()["prediction"] for other in others] == [2 * (105 + number) for number in range(4)]
