"""Two API processes on one port under load: one restarts, all do, one is killed, all end; keys and limits hold."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from access.load import offer
from access.test_limits import BURST, RATE, SECONDS
from ai_platform.access import keys
from ai_platform.storage.postgres import Database
from api.server.conftest import Several
from api.server.load import Load
from harness import SAMPLE, eventually

pytestmark = pytest.mark.slow

# `make restarts` asks for the number of the promise.
RESTARTS = int(os.environ.get("PROCESS_RESTARTS", "3"))
CONNECTIONS = 16
BETWEEN = 200  # requests


def test_one_process_after_another_restarts_under_load_and_no_request_fails(several: Several) -> None:
    with loaded(several) as load:
        for number in range(RESTARTS):
            before = several.counted("aip_requests_total")
            told = several.children()[number % 2]
            os.kill(told, signal.SIGTERM)
            eventually(lambda told=told: told not in several.children(), 20, "it ends")  # type: ignore[misc]
            several.until_both_serve()
            assert several.counted("aip_requests_total") >= before
            more(load)
        print(f"{RESTARTS} restarts, {load.answered} requests answered")
    assert not load.failed
    assert several.counted('aip_api_process_starts_total{why="replaced"}') == RESTARTS


def test_sighup_replaces_all_one_after_another_and_no_request_fails(several: Several) -> None:
    with loaded(several) as load:
        before = set(several.children())
        several.parent.send_signal(signal.SIGHUP)
        eventually(lambda: not before & set(several.children()), 30, "all are replaced")
        several.until_both_serve()
        more(load)
    assert not load.failed


def test_a_process_that_is_killed_takes_only_what_it_was_answering_and_starts_again(several: Several) -> None:
    with loaded(several) as load:
        eventually(several.both_are_called)
        before = several.counted("aip_predictions_total")
        killed = several.children()[0]
        held = several.connections()[killed]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: killed not in several.children(), what="it is buried")
        several.until_both_serve()
        assert several.counted("aip_predictions_total") >= before
        more(load)
    assert load.failed.total() <= held, load.failed
    assert several.counted('aip_api_process_starts_total{why="died"}') == 1


def test_a_key_that_is_revoked_is_refused_by_every_process_within_five_seconds(several: Several) -> None:
    several.make("mallory")
    callers = [several.client("mallory") for _ in range(CONNECTIONS)]
    assert {caller.post("/predict/", json=SAMPLE).status_code for caller in callers} == {200}
    assert several.both_are_called()
    with Database.of(several.platform.settings).connect("test") as connection:
        keys.revoke(connection, several.ids["mallory"], "test")
    begun = time.monotonic()
    eventually(lambda: {caller.post("/predict/", json=SAMPLE).status_code for caller in callers} == {401}, 5)
    print(f"revoked everywhere after {time.monotonic() - begun:.1f} s")
    for caller in callers:
        caller.close()


def test_of_ten_times_a_limit_two_processes_admit_what_it_allows(several: Several) -> None:
    several.add("limited", rows_per_second=RATE, burst_rows=BURST)
    several.make("unlimited")
    with ThreadPoolExecutor(1) as thread:
        offered = thread.submit(offer, [several.platform.port], several.texts["limited"], 10 * RATE, SECONDS)
        eventually(several.both_are_called, SECONDS, "both are called")
        seen = offered.result(30)
    allowed = seen.allowed(RATE, BURST)
    print(f"{len(seen.admitted)} admitted of {allowed:.1f} allowed, {seen.refused} refused")
    assert abs(len(seen.admitted) - allowed) <= 0.05 * allowed
    assert seen.refused > 4 * len(seen.admitted)


def test_no_thread_and_no_numerical_library_that_starts_one_is_in_the_parent(several: Several) -> None:
    assert several.parent.num_threads() == 1
    loaded_files = {one.path for one in several.parent.memory_maps()}
    assert not [path for path in loaded_files if "onnxruntime" in path or "sklearn" in path]


def test_all_processes_end_in_time_under_load_and_leave_nothing(several: Several) -> None:
    parent = several.parent
    family = [parent, *parent.children(recursive=True)]
    assert list(several.platform.settings.data_dir.glob("aip-metrics-*"))
    with loaded(several):
        parent.send_signal(signal.SIGTERM)
        assert several.platform.parts["api"].process.wait(15) == -signal.SIGTERM
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not list(several.platform.settings.data_dir.glob("aip-metrics-*"))


def test_processes_end_with_a_parent_that_is_killed(several: Several) -> None:
    several.platform.parts["api"].stop()
    part = several.platform.start("api")
    eventually(several.answers, 30, "it is ready")
    children = [psutil.Process(pid) for pid in several.children()]
    os.kill(part.pid, signal.SIGKILL)
    part.process.wait(10)
    psutil.wait_procs(children, timeout=15)
    assert not [one for one in children if one.is_running()]


def loaded(several: Several) -> Load:
    load = Load(several.platform.port, several.texts["admin"], CONNECTIONS)
    more(load)
    return load


def more(load: Load) -> None:
    """Wait for further requests."""
    until = load.answered + BETWEEN
    eventually(lambda: load.answered >= until, 30, "load goes on")
