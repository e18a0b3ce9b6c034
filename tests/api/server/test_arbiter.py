"""The arbiter of API processes: whom it starts again, whom it replaces, whom it kills, and how it ends."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness import eventually, lives

SCRIPT = str(Path(__file__).with_name("arbited.py"))
WORKERS = 2
SECONDS = 30.0


class Arbited:
    """An arbiter in a process of its own, and what its workers left in a folder."""

    def __init__(self, folder: Path, spawned: Callable[..., subprocess.Popen[str]]) -> None:
        self.folder = folder
        self._spawned = spawned
        self.process: subprocess.Popen[str]

    def start(self, behaviour: str) -> None:
        self.behave(behaviour)
        self.process = self._spawned(SCRIPT, str(self.folder), str(WORKERS))

    def behave(self, behaviour: str) -> None:
        """Of workers that are born from now on."""
        (self.folder / "behaviour").write_text(behaviour, encoding="ascii")

    def born(self) -> set[int]:
        return self._noted("born")

    def have_served(self) -> set[int]:
        return self._noted("serving")

    def serving(self) -> set[int]:
        return {pid for pid in self.have_served() if lives(pid)}

    def all_serve(self, *but: int) -> set[int]:
        """Wait until as many serve as should, without these."""
        eventually(lambda: len(self.serving() - {*but}) == WORKERS, SECONDS, "all serve")
        return self.serving()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask for the end; the exit status, and all that was said."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=SECONDS)
        assert not [pid for pid in self.born() if lives(pid)]
        return self.process.returncode, said

    def _noted(self, what: str) -> set[int]:
        return {int(path.name.rpartition("-")[2]) for path in self.folder.glob(f"{what}-*")}


@pytest.fixture
def arbited(tmp_path: Path, spawned: Callable[..., subprocess.Popen[str]]) -> Arbited:
    return Arbited(tmp_path, spawned)


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
def test_an_order_to_end_ends_all(arbited: Arbited, order: int) -> None:
    arbited.start("serves")
    arbited.all_serve()
    assert arbited.end(order)[0] == 0


def test_a_worker_that_is_killed_has_a_successor_and_the_other_serves_on(arbited: Arbited) -> None:
    arbited.start("serves")
    killed, other = arbited.all_serve()
    subprocess.run(["kill", "-KILL", str(killed)], check=True)
    assert other in arbited.all_serve(killed)
    status, said = arbited.end()
    assert status == 0
    assert said.count("API process died") == 1


def test_when_none_has_ever_served_and_one_dies_all_end_and_it_is_said(arbited: Arbited) -> None:
    arbited.start("dies")
    status, said = arbited.ended()
    assert status == 1
    assert "ended while it started" in said


def test_an_order_to_end_while_workers_start_ends_all(arbited: Arbited) -> None:
    arbited.start("slow")
    eventually(lambda: len(arbited.born()) == WORKERS, SECONDS, "all are born")
    assert arbited.end()[0] == 0


def test_workers_that_do_not_end_in_time_are_killed(arbited: Arbited) -> None:
    arbited.start("deaf")
    arbited.all_serve()
    status, said = arbited.end()
    assert status == 0
    assert said.count("did not end in time") == WORKERS


def test_sighup_replaces_each_and_as_many_as_before_serve_all_the_while(arbited: Arbited) -> None:
    arbited.start("serves")
    before = arbited.all_serve()
    arbited.process.send_signal(signal.SIGHUP)

    def replaced() -> bool:
        ended = [pid for pid in before if not lives(pid)]
        assert len(arbited.have_served()) >= WORKERS + len(ended), "one ended before its successor served"
        return len(ended) == WORKERS

    eventually(replaced, SECONDS, "all are replaced")
    assert arbited.end()[0] == 0


def test_a_successor_that_does_not_start_leaves_all_others_as_they_are(arbited: Arbited) -> None:
    arbited.start("serves")
    before = arbited.all_serve()
    arbited.behave("dies")
    arbited.process.send_signal(signal.SIGHUP)
    successor = eventually(lambda: arbited.born() - before, SECONDS, "a successor is born")
    eventually(lambda: not any(map(psutil.pid_exists, successor)), SECONDS, "it has died, and the arbiter knows")
    arbited.behave("serves")
    arbited.process.send_signal(signal.SIGHUP)  # the next order is followed all the same
    arbited.all_serve(*before)
    status, said = arbited.end()
    assert status == 0
    assert said.count("the others are not replaced") == 1
    assert len(arbited.born()) == 2 * WORKERS + 1


def test_workers_end_with_an_arbiter_that_is_killed(arbited: Arbited) -> None:
    arbited.start("serves")
    arbited.all_serve()
    arbited.process.kill()
    eventually(lambda: not arbited.serving(), SECONDS, "all have ended")
