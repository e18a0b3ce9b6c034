import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ai_platform.errors import StackError
from ai_platform.processes.orphans import end_orphans
from ai_platform.processes.programs import Role
from ai_platform.processes.status import Entry, read_noted, running_urls, status_file, write_status
from harness import lives

SLEEP = "import time; print('here', flush=True); time.sleep(600)"
Spawned = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def noted(folder: Path, role: Role, pid: int, *, earlier: float = 0.0, url: str | None = None) -> None:
    started = psutil.Process(pid).create_time() - earlier
    write_status(folder, [*read_noted(folder), Entry(role, pid, started, "running", 0, url)])


def here(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def test_what_an_earlier_run_left_is_ended_also_when_it_is_paused(folder: Path, spawned: Spawned) -> None:
    left = [here(spawned("-c", SLEEP)) for _ in range(2)]
    noted(folder, "worker", left[0].pid)
    noted(folder, "redis", left[1].pid)
    left[1].send_signal(signal.SIGSTOP)
    assert end_orphans(folder) == ["worker", "redis"]
    assert [process.wait(5) for process in left] == [-signal.SIGTERM, -signal.SIGTERM]
    assert not status_file(folder).exists()


def test_postgresql_is_asked_for_a_fast_shutdown(folder: Path, spawned: Spawned) -> None:
    left = here(spawned("-c", "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\n" + SLEEP))
    noted(folder, "postgres", left.pid)
    end_orphans(folder)
    assert left.wait(5) == -signal.SIGINT


def test_a_process_that_only_has_the_same_number_is_left_alone(folder: Path, spawned: Spawned) -> None:
    stranger = here(spawned("-c", SLEEP))
    noted(folder, "worker", stranger.pid, earlier=60)
    assert end_orphans(folder) == []
    assert stranger.poll() is None


def test_children_of_a_worker_that_is_dead_already_are_ended(folder: Path, spawned: Spawned) -> None:
    code = "import os, time\nif os.fork(): print('here', flush=True)\ntime.sleep(600)"
    worker = here(spawned("-c", code))
    (child,) = psutil.Process(worker.pid).children()
    noted(folder, "worker", worker.pid)
    worker.kill()
    assert lives(child.pid)
    end_orphans(folder)
    assert not lives(child.pid)


def test_an_up_that_still_runs_is_respected_though_its_lock_is_gone(folder: Path) -> None:
    noted(folder, "up", os.getpid())
    with pytest.raises(StackError, match=rf"process {os.getpid()}\) runs on the data folder"):
        end_orphans(folder)


def test_addresses_are_given_only_of_what_runs(folder: Path, spawned: Spawned) -> None:
    running = here(spawned("-c", SLEEP))
    noted(folder, "redis", running.pid, url="redis://:secret@127.0.0.1:1/0")
    noted(folder, "postgres", running.pid, earlier=60, url="postgresql://x")
    assert running_urls(folder) == {"redis": "redis://:secret@127.0.0.1:1/0"}
    running.kill()
    running.wait(5)
    assert running_urls(folder) == {}


@pytest.mark.parametrize("spoilt", ["", "{", "[1]", '[{"role": "king"}]', "null"])
def test_a_spoilt_status_counts_as_none(spoilt: str, folder: Path) -> None:
    status_file(folder).write_text(spoilt)
    assert read_noted(folder) == []
    began = time.monotonic()
    assert end_orphans(folder) == []
    assert time.monotonic() - began < 1
