"""Folders and users that embedded servers meet on a machine."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can pass through, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="aip-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


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
