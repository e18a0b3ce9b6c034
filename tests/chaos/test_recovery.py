"""How long recovery takes at default settings."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from chaos import report
from chaos.rig import Rig
from harness import Iris, eventually

KILLS = int(os.environ.get("CHAOS_KILLS", "4"))
WIPES = int(os.environ.get("CHAOS_WIPES", "2"))
JOBS = 20
KILL_SECONDS, WIPE_SECONDS = 12.0, 15.0
pytestmark = pytest.mark.chaos
figures: dict[str, list[float]] = {}


@pytest.fixture(scope="module")
def default_rig(iris: Iris, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig.started(iris, tmp_path_factory.mktemp("default")) as rig:
        yield rig
    lines = report.table(
        ["What happened", "Times", "p50", "p99", "Longest"],
        [[name, len(values), *report.seconds(values)] for name, values in figures.items()],
    )
    print("\n" + "\n".join(lines))
    report.keep("recovery", "Recovery at default settings", [
        f"From the fault until each of {JOBS} jobs, held or waiting, has its result.", "", *lines,
    ])  # fmt: skip


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize("whole", [False, True], ids=["one child", "the whole worker"])
def test_after_a_worker_is_killed_its_jobs_are_done_within_twelve_seconds(default_rig: Rig, whole: bool) -> None:
    """A child that holds jobs is killed, or the worker with all its children, which is then started again at once."""
    rig = default_rig
    times = []
    for number in range(KILLS):
        rig.ready()
        rig.arm("worker.computing", "stop")
        ids = [rig.promised() for _ in range(JOBS)]
        holder = eventually(rig.stopped_child, 20, "a child holds jobs")
        begun = time.monotonic()
        if whole:
            rig.parts["worker"].kill()
            rig.parts["worker"].start()
        else:
            os.kill(holder, signal.SIGKILL)
        rig.succeeded(*ids)
        times.append(time.monotonic() - begun)
        print(f"kill {number + 1}/{KILLS}: {times[-1]:.1f} s", flush=True)
    figures["the whole worker killed" if whole else "a worker child killed"] = times
    rig.assert_honest()
    assert report.quantile(times, 0.99) <= KILL_SECONDS


@pytest.mark.guarantee("G1")
def test_after_valkey_is_wiped_everything_moves_within_fifteen_seconds(default_rig: Rig) -> None:
    """The worker is away when the notifications come, so that every one of them is in Valkey, and is lost."""
    rig = default_rig
    times = []
    for _ in range(WIPES):
        rig.ready()
        rig.parts["worker"].kill()
        ids = [rig.promised() for _ in range(JOBS)]
        eventually(rig.notifications, 5, "notifications wait in Valkey")
        rig.parts["worker"].start()
        begun = time.monotonic()
        rig.wipe_valkey()
        assert rig.notifications() == 0
        rig.succeeded(*ids)
        times.append(time.monotonic() - begun)
        print(f"wiped: {times[-1]:.1f} s", flush=True)
    figures["Valkey wiped"] = times
    rig.assert_honest()
    assert max(times) <= WIPE_SECONDS
