import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

SOURCE = Path(__file__).parents[2] / "src"


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until


@pytest.fixture(name="lives")
def _lives() -> Callable[[int], bool]:
    return lives


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can pass through, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="aip-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def spawned() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python programs in sessions of their own, and ends what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)


@pytest.fixture
def as_nobody() -> Callable[[str], str]:
    """Runs Python code as the user nobody, with the packages of this environment; gives what it printed."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the tests beside this one run unprivileged already")
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("this machine has no user nobody")
    who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
    path = os.pathsep.join([str(SOURCE), *(entry for entry in sys.path if "site-packages" in entry)])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(python: str, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [python, "-W", "error", "-c", code],
            env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False, **who,
        )  # fmt: skip

    for python in (sys.executable, "/usr/bin/python3.11"):
        try:
            if run(python, "import ai_platform.local.embedded.servers").returncode == 0:
                break
        except OSError:
            continue
    else:
        pytest.skip("neither this Python nor /usr/bin/python3.11 can be run by the user nobody with these packages")

    def give(code: str) -> str:
        done = run(python, code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return give
