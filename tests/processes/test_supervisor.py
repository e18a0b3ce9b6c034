import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ai_platform.processes.process_tree import session
from ai_platform.processes.status import Entry, read_noted, read_status
from harness import lives

SCRIPT = str(Path(__file__).with_name("supervised.py"))
SLEEP = "import time; time.sleep(600)"
# A parent with two children of its own group, and one that led a session of its own, as PostgreSQL's backends do.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "one = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    "made = [subprocess.Popen(one), subprocess.Popen(one), subprocess.Popen(one, start_new_session=True)]\n"
    "print('made', *(child.pid for child in made), flush=True)\n"
    "time.sleep(600)\n"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


class Stage:
    """A supervisor in a process of its own, and what can be seen of it."""

    def __init__(self, folder: Path, spawned: Callable[..., subprocess.Popen[str]]) -> None:
        self.folder = folder
        self._spawned = spawned
        self.process: subprocess.Popen[str]
        self.seen: list[str] = []
        self._found: set[int] = set()

    def start(self, parts: dict[str, str], once: str | None = None) -> None:
        wanted = json.dumps([{"role": role, "code": code} for role, code in parts.items()])
        self.process = self._spawned(SCRIPT, str(self.folder), wanted, *([once] if once is not None else []))

    def line(self, pattern: str) -> re.Match[str]:
        """A line in which the pattern is found, each line being found once; the script's own limit bounds the wait."""
        assert self.process.stdout is not None
        unread = (text.rstrip("\n") for text in self.process.stdout)
        for at, text in enumerate(itertools.chain(list(self.seen), unread)):
            if at == len(self.seen):
                self.seen.append(text)
            if at not in self._found and (match := re.search(pattern, text)):
                self._found.add(at)
                return match
        raise AssertionError(f"{pattern!r} was not printed:\n" + "\n".join(self.seen))

    def entry(self, role: str) -> Entry:
        return next(entry for entry in read_status(self.folder) if entry.role == role)

    def pid(self, role: str) -> int:
        pid = self.entry(role).pid
        assert pid is not None
        return pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        began = time.monotonic()
        self.process.send_signal(number)
        self.line("^ended")
        assert self.process.wait(15) == 0, self.seen
        return time.monotonic() - began


@pytest.fixture
def stage(tmp_path: Path, spawned: Callable[..., subprocess.Popen[str]]) -> Stage:
    return Stage(tmp_path, spawned)


def test_each_line_of_a_part_is_shown_with_its_name(stage: Stage) -> None:
    # One write, so that whoever has seen the second line knows that the rest is in the pipe.
    stage.start({"api": "import sys; sys.stdout.write('one\\ntwo\\nno newline'); " + SLEEP, "redis": SLEEP})
    stage.line("two")
    stage.stop()
    assert [line for line in stage.seen if line.startswith("api")] == [
        "api      | one", "api      | two", "api      | no newline",
    ]  # fmt: skip


def test_a_part_that_crashes_is_started_again_and_counted(stage: Stage) -> None:
    stage.start({"api": SLEEP, "sweeper": SLEEP})
    stage.line("^started")
    other, first = stage.pid("sweeper"), stage.pid("api")
    os.kill(first, signal.SIGKILL)
    assert stage.line(r"up .* api was ended by SIGKILL; it starts again in ([\d.]+) s")[1] == "0.5"
    _until(lambda: stage.entry("api").restarts == 1 and stage.entry("api").state == "running")
    assert stage.pid("api") != first
    assert stage.pid("sweeper") == other
    stage.stop()


def test_a_part_that_crashes_again_and_again_waits_longer_each_time(stage: Stage) -> None:
    stage.start({"api": "raise SystemExit(3)"})
    pauses = [stage.line(r"api ended with status 3; it starts again in ([\d.]+) s")[1] for _ in range(3)]
    assert pauses == ["0.5", "1", "2"]
    _until(lambda: [entry.state for entry in read_noted(stage.folder)] == ["running", "restarting"])
    stage.stop()


def test_a_crash_takes_all_that_the_part_had_started_with_it(stage: Stage) -> None:
    stage.start({"worker": FAMILY})
    children = [int(pid) for pid in stage.line(r"made (\d+) (\d+) (\d+)").groups()]
    os.kill(stage.pid("worker"), signal.SIGKILL)
    stage.line(r"made (\d+)")
    assert not [pid for pid in children if lives(pid)]
    stage.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(number: signal.Signals, stage: Stage) -> None:
    said = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit())); "
    said += "print('here', flush=True); time.sleep(600)"
    stage.start({"postgres": said, "redis": said, "api": said})
    for _ in range(3):
        stage.line("here")
    pids = [stage.pid(role) for role in ("api", "redis", "postgres")]
    stage.stop(number)
    assert [line.split()[0] for line in stage.seen if line.endswith("bye")] == ["api", "redis", "postgres"]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_stop_ends_whole_families_and_those_that_are_paused_or_deaf(stage: Stage) -> None:
    stage.start({"worker": FAMILY, "api": DEAF, "redis": SLEEP})
    children = [int(pid) for pid in stage.line(r"made (\d+) (\d+) (\d+)").groups()]
    stage.line("deaf")
    pids = [stage.pid(role) for role in ("worker", "api", "redis")]
    for pid in (pids[2], *children):
        os.kill(pid, signal.SIGSTOP)
    assert stage.stop() < 5
    assert not [pid for pid in [*pids, *children] if lives(pid)]


def test_a_second_signal_is_answered_and_changes_nothing(stage: Stage) -> None:
    stage.start({"api": DEAF})
    stage.line("deaf")
    stage.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    stage.process.send_signal(signal.SIGINT)
    stage.line("already stopping")
    stage.line("^ended")
    assert stage.process.wait(10) == 0


def test_a_signal_while_something_is_run_once_ends_that_too(stage: Stage) -> None:
    stage.start({}, once="import os; print('pid', os.getpid(), flush=True); " + SLEEP)
    pid = int(stage.line(r"pid (\d+)")[1])
    stage.process.send_signal(signal.SIGTERM)
    stage.line("asked to stop")
    assert stage.process.wait(10) == 0
    assert not lives(pid)


def test_what_is_run_once_and_fails_stops_the_start_and_its_last_lines_are_told(stage: Stage) -> None:
    stage.start({"api": SLEEP}, once="print('the reason'); raise SystemExit(4)")
    stage.line(r"StackError: migrate failed \(status 4\); its last lines:")
    stage.line("the reason")
    assert stage.process.wait(10) == 1


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux tells a child of its parent's death")
def test_a_supervisor_that_is_killed_takes_its_parts_along(stage: Stage) -> None:
    stage.start({"api": SLEEP, "redis": SLEEP})
    stage.line("^started")
    pids = [stage.pid("api"), stage.pid("redis")]
    stage.process.kill()
    _until(lambda: not [pid for pid in pids if lives(pid)])


def test_a_terminal_that_takes_nothing_holds_no_part_up_and_is_told_what_it_missed(stage: Stage) -> None:
    done = stage.folder / "done"
    stage.start({"api": f"for n in range(20_000): print('x' * 80)\nopen({str(done)!r}, 'w').close()\n{SLEEP}"})
    _until(done.exists)
    stage.line(r"\(\d+ lines left out: they were not taken in time\)")
    stage.stop()


def test_the_status_is_private_and_tells_the_dead_from_the_living(stage: Stage) -> None:
    stage.start({"api": SLEEP})
    stage.line("^started")
    assert (stage.folder / "run" / "processes.json").stat().st_mode & 0o777 == 0o600
    _until(lambda: [entry.state for entry in read_status(stage.folder)] == ["running", "running"])
    api = stage.pid("api")
    stage.process.send_signal(signal.SIGSTOP)
    os.kill(api, signal.SIGKILL)
    _until(lambda: stage.entry("api").state == "dead")
    stage.process.kill()
    stage.process.wait(10)
    assert read_status(stage.folder) == []
    assert [entry.role for entry in read_noted(stage.folder)] == ["up", "api"]
    assert session(api) == []


def _until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.02)
