"""PostgreSQL and Valkey without the rest of the platform: real servers for tests and benchmarks, in about a second."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ai_platform.errors import StackError
from ai_platform.local.embedded import data_folder, postgres, valkey
from ai_platform.processes.files import tail
from ai_platform.processes.process_tree import StopPolicy, end, family, kill, send
from ai_platform.processes.programs import Program, spawn

START_SECONDS = 30.0
PAUSE_BETWEEN_LOOKS = 0.01


class Server:
    """One server that can be crashed, paused and started again; always at the same port.

    It ends with the thread that started it, so start it from one that stays (pytest's main thread does).

    Attributes:
        program: what is run.
        log: file of everything that it printed.
    """

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is reached, password included."""
        assert self.program.url is not None
        return self.program.url

    @property
    def pid(self) -> int:
        """Its main process.

        Raises:
            StackError: it is stopped.
        """
        if self._process is None:
            raise StackError(f"{self.program.role} is stopped; start it first")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StackError: it ended, or did not answer within 30 s.
        """
        with self.log.open("ab") as output:
            self._process = spawn(self.program, output)
        limit = time.monotonic() + START_SECONDS
        while not self.program.ready(self._process.pid):
            ended = self._process.poll()
            if ended is not None or time.monotonic() > limit:
                self.kill()
                raise StackError(f"{self.program.role} did not start (status {ended}):\n{tail(self.log)}")
            time.sleep(PAUSE_BETWEEN_LOOKS)

    def stop(self) -> None:
        """End it in order; what does not end within its time is killed."""
        process = self._process
        if process is None:
            return
        how = self.program
        end([StopPolicy(psutil.Process(process.pid), how.stop_signal, how.stop_seconds, how.last_signal)])
        process.wait(10)
        self._process = None

    def kill(self) -> None:
        """Crash it: SIGKILL to the whole of it at once."""
        process = self._process
        if process is None:
            return
        kill(self._family())
        process.wait(10)
        self._process = None

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections are accepted by the kernel, and nothing answers (SIGSTOP to the whole of it)."""
        send(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        send(self._family(), signal.SIGCONT)

    def _family(self) -> list[psutil.Process]:
        # It exists, if only as a zombie, until somebody waits for it.
        return family(psutil.Process(self.pid))


@dataclass(frozen=True)
class Servers:
    """The servers of one data folder.

    Attributes:
        folder: the data folder.
        postgres: PostgreSQL with an empty database; `None` when it was not asked for.
        valkey: Valkey; `None` when it was not asked for.
    """

    folder: Path
    postgres: Server | None
    valkey: Server | None

    @property
    def postgres_url(self) -> str:
        """`postgresql://…` with password, for libpq and psycopg."""
        return _asked_for(self.postgres, "PostgreSQL").url

    @property
    def redis_url(self) -> str:
        """`redis://…` with password."""
        return _asked_for(self.valkey, "Valkey").url

    @property
    def postgres_pid(self) -> int:
        """PostgreSQL's main process."""
        return _asked_for(self.postgres, "PostgreSQL").pid

    @property
    def redis_pid(self) -> int:
        """Valkey's main process."""
        return _asked_for(self.valkey, "Valkey").pid


@contextmanager
def running_servers(  # each is one independent choice of a test
    folder: Path | None = None,
    *,
    with_postgres: bool = True,
    with_valkey: bool = True,
    durable: bool = False,
    postgres_settings: Mapping[str, str] | None = None,
    valkey_settings: Mapping[str, str] | None = None,
    keep: bool = False,
) -> Iterator[Servers]:
    """Start the servers, and stop them at the end.

    Args:
        folder: data folder to use; `None` for one of its own, deleted at the end.
        with_postgres: whether to start PostgreSQL.
        with_valkey: whether to start Valkey.
        durable: whether writes wait for the disk, as `up` has it; without, a crash of a server still loses nothing
            of PostgreSQL's, and all of Valkey's.
        postgres_settings: server settings by name (`{"max_connections": "20"}`).
        valkey_settings: configuration by name (`{"appendonly": "yes"}`).
        keep: whether the data of a given folder is kept; the folder can then be used again.

    Raises:
        StackError: a wheel is absent, a server does not start, or the folder is in use.
    """
    with _place(folder) as path, data_folder.opened(path) as data:
        servers: list[Server] = []
        try:
            database = redis = None
            if with_postgres:
                chosen = {**({} if durable else postgres.NOT_DURABLE), **(postgres_settings or {})}
                database = _started(postgres.program(data, chosen), data, servers)
            if with_valkey:
                chosen = {**({} if durable else valkey.NOT_DURABLE), **(valkey_settings or {})}
                redis = _started(valkey.program(data, chosen), data, servers)
            yield Servers(path, database, redis)
        finally:
            for server in reversed(servers):
                server.stop()
            if folder is None or not keep:
                postgres.forget(data)
                shutil.rmtree(data.valkey, ignore_errors=True)


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    own = Path(tempfile.mkdtemp(prefix="aip-servers-"))
    try:
        # So that PostgreSQL's own user can pass through when this is root.
        own.chmod(0o711)
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _started(program: Program, data: data_folder.DataFolder, servers: list[Server]) -> Server:
    server = Server(program, data.run / f"{program.role}.log")
    servers.append(server)
    server.start()
    if program.role == "postgres":
        postgres.ensure_database(server.url)
    return server


def _asked_for(server: Server | None, name: str) -> Server:
    if server is None:
        raise StackError(f"{name} was not asked for; start it too")
    return server
