"""What a sandboxed process cannot do. One child tries everything, and the tests look at what came of each."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

CHILD = """
import ctypes, json, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from ai_platform.models.sandbox.limits import Limits, enter_sandbox

secrets, own, elsewhere = sys.argv[1:]
limits = Limits(memory_bytes=1 << 30, cpu_seconds=20, file_bytes=1 << 16)
answers = {"holds": enter_sandbox(limits, Path(own), os.getppid())}
X86 = os.uname().machine == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)

def attempt(name, act):
    try:
        answers[name] = repr(act())
    except OSError as error:
        answers[name] = error.errno
    except MemoryError:
        answers[name] = "MemoryError"

def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"

attempt("socket", lambda: socket.socket())
attempt("unix socket", lambda: socket.socket(socket.AF_UNIX))
attempt("fork", lambda: os.fork())
attempt("program", lambda: subprocess.run([sys.executable, "-c", "pass"]))
attempt("execve", lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"]))
attempt("signal to the parent", lambda: os.kill(os.getppid(), 0))
attempt("signal to itself", lambda: os.kill(os.getpid(), 0))
attempt("session", lambda: os.setsid())
attempt("set limits", lambda: call(302 if X86 else 261, 0, 7, (ctypes.c_ulong * 2)(64, 64), None))
attempt("read limits", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1])
attempt("ptrace", lambda: call(101 if X86 else 117, 16, os.getppid(), 0, 0))
attempt("secrets of the parent", lambda: open(f"/proc/{os.getppid()}/environ", "rb").read())
attempt("write elsewhere", lambda: open(f"{elsewhere}/file", "w"))
attempt("remove elsewhere", lambda: os.remove(secrets))
attempt("own folder", lambda: Path(own, "file").write_text("x"))
attempt("large file", lambda: Path(own, "large").write_bytes(bytes(1 << 17)))
attempt("memory", lambda: bytearray(1 << 31))
if X86:
    attempt("x32", lambda: call(0x40000000 | 41, 2, 1, 0))

def threads():
    seen = []
    workers = [threading.Thread(target=seen.append, args=(i,)) for i in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    return len(seen)

attempt("threads", threads)
attempt("numbers", lambda: float(__import__("numpy").ones((300, 300)).dot(__import__("numpy").ones((300, 300))).sum()))
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    own, elsewhere = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("elsewhere")
    secret = elsewhere / "secret"
    secret.write_text("kept")
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(secret), str(own), str(elsewhere)],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert secret.read_text() == "kept"
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_limits_and_both_filters_hold_here(answers: dict[str, Any]) -> None:
    assert answers["holds"] == ["limits", "landlock", "seccomp"]


@pytest.mark.parametrize(
    "act",
    ["socket", "unix socket", "fork", "program", "execve", "signal to the parent", "session", "set limits", "ptrace"],
)
def test_the_kernel_refuses(answers: dict[str, Any], act: str) -> None:
    assert answers[act] == 1  # EPERM


@pytest.mark.parametrize("act", ["secrets of the parent", "write elsewhere", "remove elsewhere"])
def test_the_kernel_denies_access(answers: dict[str, Any], act: str) -> None:
    assert answers[act] == 13  # EACCES


def test_the_second_numbering_of_x86_is_no_way_around(answers: dict[str, Any]) -> None:
    assert answers.get("x32", 1) == 1


def test_a_large_file_cannot_be_written(answers: dict[str, Any]) -> None:
    assert answers["large file"] == 27  # EFBIG


def test_memory_beyond_the_limit_is_an_error(answers: dict[str, Any]) -> None:
    assert answers["memory"] == "MemoryError"


def test_what_models_do_need_goes_on(answers: dict[str, Any]) -> None:
    needed = ("threads", "numbers", "own folder", "signal to itself", "read limits")
    assert [answers[name] for name in needed] == ["4", "27000000.0", "1", "None", "256"]


def test_a_child_dies_with_the_process_that_asked(tmp_path: Path) -> None:
    """The middle process starts a sandboxed sleeper and is killed; the pipe that only the sleeper holds closes."""
    sleeper = (
        "import os, sys, time; from pathlib import Path;"
        "from ai_platform.models.sandbox.limits import Limits, enter_sandbox;"
        "enter_sandbox(Limits(memory_bytes=1 << 30, cpu_seconds=5, file_bytes=1), Path(sys.argv[1]), os.getppid());"
        "os.write(1, b'ready'); time.sleep(60)"
    )
    middle = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeper!r}, sys.argv[1]])"
    process = subprocess.Popen([sys.executable, "-c", middle, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    killer = threading.Timer(20, process.kill)
    killer.start()
    assert os.read(process.stdout.fileno(), 5) == b"ready"
    process.kill()
    process.wait()
    assert process.stdout.read() == b""
    killer.cancel()
    process.stdout.close()
