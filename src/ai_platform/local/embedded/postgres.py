"""PostgreSQL 18 from the wheel: its folder, its first start, and how it is run."""

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psycopg

from ai_platform.errors import StackError
from ai_platform.local.embedded.binaries import postgres_home, system_folder
from ai_platform.local.embedded.data_folder import DataFolder, explained
from ai_platform.local.embedded.ports import kept_port
from ai_platform.processes.accounts import Account, bare_environment, may_enter, postgres_account, run_as
from ai_platform.processes.files import kept_secret, tail
from ai_platform.processes.programs import Program

# The cluster's own superuser: whoever can read the data folder owns the data in any case.
ROLE = "aip"
DATABASE = "ai_platform"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "60",
}
# For throw-away servers: nothing waits for a disk. A crash of the process loses nothing all the same.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

INITDB_SECONDS = 120.0

# LOCK_FILE_LINE_PM_STATUS of src/include/utils/pidfile.h, counted from 0.
_STATUS_LINE = 7


def program(folder: DataFolder, settings: Mapping[str, str] | None = None) -> Program:
    """PostgreSQL ready to be started in the data folder; its cluster is made if there is none (about a second).

    Args:
        folder: the data folder, held by this process.
        settings: server settings that win over `SETTINGS`.

    Raises:
        StackError: the wheel is absent, or the cluster can neither be found nor made.
    """
    account = postgres_account(folder.postgres)
    home = postgres_home(account)
    chosen = {**SETTINGS, **(settings or {})}
    with explained(folder.path):
        place = _place(folder, account)
        password = kept_secret(place / "password", account)
        data = place / "data"
        if not data.exists():
            _make_cluster(home, place, account, durable=chosen["fsync"] == "on")
        port = kept_port(folder.ports, "postgres")
    return Program(
        role="postgres",
        command=[str(home / "bin" / "postgres"), "-D", str(data), *_options({**chosen, "port": str(port)})],
        environment=bare_environment(),
        folder=place,
        ready=lambda pid: _accepts(data, pid),
        url=f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}",
        account=account,
        stop_signal=signal.SIGINT,
        stop_seconds=4.0,
        last_signal=signal.SIGQUIT,
    )


def ensure_database(url: str) -> None:
    """Make our database unless it exists; the server must accept connections.

    Raises:
        StackError: the server refuses.
    """
    maintenance = url.removesuffix(DATABASE) + "postgres"
    try:
        with psycopg.connect(maintenance, autocommit=True, connect_timeout=5) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.Error as error:
        raise StackError(f"PostgreSQL refuses to work for its own user: {error}") from None


def forget(folder: DataFolder) -> None:
    """Delete PostgreSQL's folder, wherever it is; for throw-away servers that have ended."""
    place = folder.postgres.resolve()
    if folder.postgres.is_symlink():
        folder.postgres.unlink()
    shutil.rmtree(place, ignore_errors=True)


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _place(folder: DataFolder, account: Account | None) -> Path:
    """PostgreSQL's folder: in the data folder, or where its user can reach it, with a link that remembers it."""
    link = folder.postgres
    if link.is_symlink() and not link.exists():
        raise StackError(
            f"PostgreSQL's files, to which {link} points, are gone; restore {link.readlink()}, "
            "or remove that link to start with an empty database"
        )
    if not link.exists():
        reachable = account is None or may_enter(account, folder.path)
        _make_private(link, account) if reachable else link.symlink_to(_outside(folder, account))
    place = link.resolve()
    if account is not None and not may_enter(account, place):
        raise StackError(
            f"the user {account.name}, as whom PostgreSQL runs, can no longer enter {place}; "
            "let others pass through the folders above it again (chmod o+x)"
        )
    return place


def _make_private(place: Path, account: Account | None) -> None:
    place.mkdir(mode=0o700)
    if account is not None:
        shutil.chown(place, account.uid, account.gid)


def _outside(folder: DataFolder, account: Account | None) -> Path:
    """Named by the data folder's identity, so that a folder made anew never meets its predecessor's database."""
    name = re.sub(r"[^A-Za-z0-9_-]", "", folder.path.name)[:40] or "data"
    place = system_folder() / f"{name}-{folder.identity}"
    if not place.exists():
        _make_private(place, account)
    return place


def _make_cluster(home: Path, place: Path, account: Account | None, *, durable: bool) -> None:
    """Run initdb beside the cluster's place and rename the result, so that a half-made one is never taken for whole."""
    _remove_half_made(place)
    beside = Path(tempfile.mkdtemp(prefix="making-", dir=place))
    try:
        if account is not None:
            shutil.chown(beside, account.uid, account.gid)
        _initdb(home, beside / "data", account, [] if durable else ["--no-sync"])
        (beside / "data").rename(place / "data")
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        _remove_half_made(place)  # again, as what a killed start had begun may have gone on writing for a moment


def _remove_half_made(place: Path) -> None:
    for left in place.glob("making-*"):
        shutil.rmtree(left, ignore_errors=True)


def _initdb(home: Path, data: Path, account: Account | None, extra: list[str]) -> None:
    log = data.with_name("initdb.log")
    command = [str(home / "bin" / "initdb"), "-D", str(data), "-U", ROLE, "-A", "scram-sha-256", "-E", "UTF8"]
    command += ["--pwfile", str(data.parents[1] / "password"), "--data-checksums", "--no-instructions"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", *extra]
    with log.open("wb") as output:
        try:
            status = run_as(account, command, data.parent, output, INITDB_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackError(f"PostgreSQL's initdb could not be run: {error}") from None
    if status != 0:
        raise StackError(f"PostgreSQL could not make its database in {data.parents[1]}:\n{tail(log)}")


def _accepts(data: Path, pid: int) -> bool:
    """Whether the server says so in its own file, as `pg_ctl` reads it: no connection, so no line in its log."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return len(lines) > _STATUS_LINE and lines[0].strip() == str(pid) and lines[_STATUS_LINE].strip() == "ready"
