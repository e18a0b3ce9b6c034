"""`ai-platform up` as a person runs it: what is started, killed, left over and stopped."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from ai_platform.local.embedded.ports import OURS, is_free
from ai_platform.processes.programs import Role
from ai_platform.processes.status import Entry, read_status

# The group keeps these tests in one process of pytest-xdist (`--dist loadgroup`), where they share one platform.
pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.xdist_group("up")]

SOURCE = Path(__file__).parents[2] / "src"
IRIS = {"features": [5.1, 3.5, 1.4, 0.2]}
ROLES = {"up", "api", "worker", "sweeper", "postgres", "redis"}
PAUSED: tuple[Role, ...] = ("worker", "postgres", "redis")
START_SECONDS = 60.0


class Platform:
    """`ai-platform up` on a folder of its own, as a person would run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = next(port for port in random.sample(OURS, 50) if is_free(port))
        self.log = folder / "up.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "ai_platform.cli", *words],
            env=environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def begin(self, *more: str) -> None:
        words = ["up", "--port", str(self.port), "--data-dir", str(self.data), *more]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ai_platform.cli", *words],
                env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def ensure_running(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.begin()
        wait_until(lambda: self.has_ended() or "Ctrl-C stops everything" in self.said(), START_SECONDS)
        assert not self.has_ended(), self.said()

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(15)

    def status(self) -> dict[Role, Entry]:
        return {entry.role: entry for entry in read_status(self.data)}

    def signal(self, role: Role, number: signal.Signals) -> None:
        pid = self.status()[role].pid
        assert pid is not None
        os.kill(pid, number)

    def family(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def call(self, path: str, body: object = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method="GET" if body is None else "POST"
        )
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


def environment() -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AI_PLATFORM_")}
    return {**bare, "PYTHONPATH": str(SOURCE)}


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def shared() -> Iterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="aip-up-"))
    folder.chmod(0o711)
    platform = Platform(folder)
    try:
        yield platform
        if platform.process is not None and platform.process.poll() is None:
            platform.end(signal.SIGTERM)
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def platform(shared: Platform) -> Platform:
    shared.ensure_running()
    return shared


def answers(platform: Platform, path: str, body: object = None) -> bool:
    try:
        return platform.call(path, body)[0] == 200
    except OSError:
        return False


def test_up_trains_and_predicts_both_ways(platform: Platform) -> None:
    status, answer = platform.call("/predict/", IRIS)
    assert (status, answer["label"], answer["version"]) == (200, "setosa", 1)
    status, job = platform.call("/predict/async", IRIS)
    assert status == 202
    _, finished = platform.call(f"/jobs/{job['id']}?wait=20")
    assert (finished["status"], finished["result"]["label"]) == ("succeeded", "setosa")


def test_up_says_first_that_it_is_open_to_this_machine_only_and_how_to_predict(platform: Platform) -> None:
    said = platform.said()
    assert "authentication is off, and it listens on loopback" in said.splitlines()[0]
    assert f"curl -X POST http://localhost:{platform.port}/predict/" in said
    assert "\x1b[" not in said


def test_ps_lists_every_part_and_shows_passwords_only_where_a_program_asks(platform: Platform) -> None:
    shown = platform.command("ps", "--json", "--data-dir", str(platform.data))
    listed = {entry["role"]: entry for entry in json.loads(shown.stdout)}
    assert set(listed) == ROLES
    assert {entry["state"] for entry in listed.values()} == {"running"}
    assert all(set(entry) == {"role", "pid", "state", "restarts", "processes", "url"} for entry in listed.values())
    assert listed["api"]["processes"] == 1
    assert listed["api"]["url"] == f"http://127.0.0.1:{platform.port}"
    password = listed["postgres"]["url"].rpartition("@")[0].rpartition(":")[2]
    table = platform.command("ps", "--data-dir", str(platform.data))
    assert table.returncode == 0
    assert ":***@127.0.0.1" in table.stdout
    assert password not in table.stdout


def test_a_second_up_on_one_data_folder_is_refused_and_the_first_lives(platform: Platform) -> None:
    before = platform.status()
    second = platform.command("up", "--port", "1", "--data-dir", str(platform.data))
    assert second.returncode == 1
    assert f"(process {before['up'].pid}) runs on the data folder" in second.stderr
    assert platform.status() == before
    assert answers(platform, "/predict/", IRIS)


def test_a_port_in_use_is_refused_before_anything_is_started(platform: Platform) -> None:
    other = platform.folder / "other"
    refused = platform.command("up", "--port", str(platform.port), "--data-dir", str(other))
    assert refused.returncode == 1
    assert f"port {platform.port} is in use; name another with --port" in refused.stderr
    assert not (other / "postgres").exists()
    nothing = platform.command("ps", "--data-dir", str(other))
    assert (nothing.returncode, "start it with `ai-platform up`" in nothing.stderr) == (1, True)
    assert platform.command("ps", "--json", "--data-dir", str(other)).stdout.strip() == "[]"


def test_parts_that_crash_come_back_and_are_counted(platform: Platform) -> None:
    before = platform.status()
    roles: tuple[Role, ...] = ("api", "worker", "postgres", "redis")
    for role in roles:
        platform.signal(role, signal.SIGKILL)

    def are_back() -> bool:
        now = {role: entry for role, entry in platform.status().items() if entry.state == "running"}
        return all(role in now and now[role].restarts == before[role].restarts + 1 for role in roles)

    try:
        wait_until(are_back, 60)
    except AssertionError:
        for entry in platform.status().values():
            print(entry.role, entry.state, entry.restarts, "before:", before[entry.role].restarts)
        raise
    status, job = platform.call("/predict/async", IRIS)
    assert status == 202
    assert platform.call(f"/jobs/{job['id']}?wait=25")[1]["status"] == "succeeded"
    assert platform.status()["sweeper"] == before["sweeper"]


def test_the_next_up_recovers_from_a_kill_of_the_last_and_every_job_is_still_there(platform: Platform) -> None:
    _, job = platform.call("/predict/async", IRIS)
    left = platform.family()
    assert platform.end(signal.SIGKILL) == -signal.SIGKILL
    platform.begin()
    platform.ensure_running()
    assert not [process for process in left if lives(process)]
    assert platform.call(f"/jobs/{job['id']}?wait=25")[1]["status"] == "succeeded"


def test_no_password_stands_in_anything_that_was_written_for_people(platform: Platform) -> None:
    """Everything that this module made the platform do is in these logs, crashes and all."""
    urls = [entry.url for entry in platform.status().values() if entry.url and "@" in entry.url]
    passwords = {urlsplit(url).password for url in urls}
    assert len(passwords) == 2
    written = [platform.log, *platform.data.rglob("*.log")]
    for file in written:
        text = file.read_text(errors="replace")
        assert [password for password in passwords if password is None or password in text] == [], file


def test_ctrl_c_ends_every_process_within_15_seconds_also_those_that_are_paused(platform: Platform) -> None:
    family = platform.family()
    for role in PAUSED:
        platform.signal(role, signal.SIGSTOP)
    assert platform.end(signal.SIGINT) == 0
    assert not [process for process in family if lives(process)]
    assert platform.status() == {}
    assert "Everything has stopped" in platform.said()


def test_up_runs_as_many_api_processes_as_it_is_told_and_ends_them(platform: Platform) -> None:
    platform.end(signal.SIGINT)
    platform.begin("--api-processes", "2")
    platform.ensure_running()
    family = platform.family()
    shown = json.loads(platform.command("ps", "--json", "--data-dir", str(platform.data)).stdout)
    assert [entry["processes"] for entry in shown if entry["role"] == "api"] == [3]
    assert platform.call("/predict/", IRIS)[0] == 200
    platform.end(signal.SIGINT)
    assert not [process for process in family if lives(process)]


def test_servers_that_are_named_are_used_and_none_are_started(shared: Platform) -> None:
    url = "postgresql://nobody:hush@127.0.0.1:1/none"
    done = subprocess.run(
        [sys.executable, "-m", "ai_platform.cli", "up", "--data-dir", str(shared.folder / "named")],
        env=environment() | {
            "AI_PLATFORM_DATABASE_URL": url, "AI_PLATFORM_REDIS_URL": "redis://127.0.0.1:1/0",
            "AI_PLATFORM_API__PORT": str(next(port for port in OURS if is_free(port))),
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "migrate failed" in done.stderr
    assert "the server that AI_PLATFORM_DATABASE_URL names" in done.stdout
    assert "postgres |" not in done.stdout
    assert not (shared.folder / "named" / "postgres").exists()
    assert not (shared.folder / "named" / "valkey").exists()
