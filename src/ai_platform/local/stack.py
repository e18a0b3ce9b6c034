"""What `up` does: servers, schema, first model, the platform's parts; then it keeps all of them running."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from ai_platform.access.bind_policy import require_protected
from ai_platform.errors import StackError
from ai_platform.local import commands
from ai_platform.local.embedded import data_folder, postgres, valkey
from ai_platform.local.embedded.binaries import POSTGRES_MAJOR
from ai_platform.local.embedded.data_folder import DataFolder
from ai_platform.local.embedded.ports import is_free
from ai_platform.processes.orphans import end_orphans
from ai_platform.processes.output import Output
from ai_platform.processes.programs import Program
from ai_platform.processes.status import Entry, status_file, write_status
from ai_platform.processes.supervisor import StopAsked, Supervisor
from ai_platform.settings import Settings

SERVER_SECONDS = 60.0
MIGRATE_SECONDS = 300.0
API_SECONDS = 60.0
WORKER_SECONDS = 30.0
LAST_WORDS_SECONDS = 1.0

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run_stack(settings: Settings, output: Output) -> None:
    """Run the whole platform until a signal ends it; everything that was started has ended when this returns.

    Args:
        settings: servers that they name are used, the others are started in the data folder.
        output: where it says what it does.

    Raises:
        StackError: it cannot be started; nothing of it runs then.
        InvalidSettings: without authentication, it would answer to other machines.
    """
    settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    require_protected(settings)
    with data_folder.opened(settings.data_dir) as folder:
        left = end_orphans(folder.path)
        _require_port(settings)
        _greet(settings, output)
        for role in left:
            output.say(f"Ended a process that an earlier run had left behind ({role})")
        try:
            with Supervisor(output, _Notes(folder, output)) as supervisor:
                _run(supervisor, folder, settings)
        finally:
            status_file(folder.path).unlink(missing_ok=True)
            output.flush(LAST_WORDS_SECONDS)


def _run(supervisor: Supervisor, folder: DataFolder, settings: Settings) -> None:
    start = _Start(supervisor, folder, settings)
    began = time.monotonic()
    try:
        start.servers()
        start.parts()
        _announce(settings, supervisor.output, time.monotonic() - began)
        supervisor.watch()
    except StopAsked:
        pass
    supervisor.output.say("Stopping ...")
    began = time.monotonic()
    supervisor.stop()
    supervisor.output.say(
        f"Everything has stopped ({time.monotonic() - began:.1f} s); the data is kept in {folder.path}"
    )


class _Start:
    """The steps to a running platform, each shown with its time; signals end each with `StopAsked`."""

    def __init__(self, supervisor: Supervisor, folder: DataFolder, settings: Settings) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._settings = settings
        self._variables: dict[str, str] = {}

    def servers(self) -> None:
        """PostgreSQL and Valkey, each unless the settings name one."""
        database = redis = None
        if self._settings.redis_url is None:
            redis = self._server("Valkey 9", valkey.program)
        else:
            self._supervisor.output.say("Redis: the server that AI_PLATFORM_REDIS_URL names")
        if self._settings.database_url is None:
            database = self._postgres()
        else:
            self._supervisor.output.say("PostgreSQL: the server that AI_PLATFORM_DATABASE_URL names")
        self._variables = commands.environment(self._settings, database, redis)

    def parts(self) -> None:
        """Schema, first model, API, worker and sweeper."""
        with self._timed("Schema and model"):
            self._supervisor.run(commands.migrate(self._variables), MIGRATE_SECONDS)
        for program in (
            commands.api(self._variables, self._settings),
            commands.worker(self._variables, self._settings),
            commands.sweeper(self._variables),
        ):
            self._supervisor.start(program)
        with self._timed("API"):
            self._require_ready(commands.api(self._variables, self._settings), API_SECONDS)
        began = time.monotonic()
        ready = self._supervisor.wait_ready("worker", WORKER_SECONDS)
        self._say("Worker", "ready" if ready else "not seen by the API yet, going on without", began)

    def _postgres(self) -> str:
        if not self._folder.postgres.exists():
            self._supervisor.output.say(f"PostgreSQL {POSTGRES_MAJOR}: making an empty database")
        url = self._server(f"PostgreSQL {POSTGRES_MAJOR}", postgres.program)
        postgres.ensure_database(url)
        if self._folder.postgres.is_symlink():
            self._supervisor.output.say(f"PostgreSQL's files are in {self._folder.postgres.readlink()}")
        return url

    def _server(self, name: str, prepare: Callable[[DataFolder], Program]) -> str:
        with self._timed(name):
            program = prepare(self._folder)
            self._supervisor.start(program)
            self._require_ready(program, SERVER_SECONDS)
        assert program.url is not None
        return program.url

    def _require_ready(self, program: Program, seconds: float) -> None:
        if not self._supervisor.wait_ready(program.role, seconds):
            raise StackError(f"{program.role} was not ready after {seconds:g} s; its lines above say why")

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._say(name, "ready", began)

    def _say(self, name: str, how: str, began: float) -> None:
        self._supervisor.output.say(f"{f'{name} ':.<20} {how} ({time.monotonic() - began:.1f} s)")


class _Notes:
    """Writes down what runs; a full disk must not end what it describes."""

    def __init__(self, folder: DataFolder, output: Output) -> None:
        self._folder = folder
        self._output = output
        self._up = Entry("up", os.getpid(), psutil.Process().create_time(), "running", 0, None)

    def __call__(self, entries: list[Entry]) -> None:
        try:
            write_status(self._folder.path, [self._up, *entries])
        except OSError as error:
            self._output.line("up", f"the list of processes could not be written: {error.strerror}")


def _require_port(settings: Settings) -> None:
    host, port = settings.api.host, settings.api.port
    try:
        free = is_free(port, host)
    except OSError as error:
        raise StackError(
            f"the API cannot listen on {host}, port {port} ({error.strerror}); name another with --port or "
            "AI_PLATFORM_API__HOST"
        ) from None
    if not free:
        raise StackError(f"port {port} is in use; name another with --port, or stop what listens there")


def _greet(settings: Settings, output: Output) -> None:
    if settings.auth == "off":
        output.say("AI Platform, on this machine only: authentication is off, and it listens on loopback.")
    else:
        output.say(f"AI Platform, on {settings.api.host}: authentication is on, and callers need a key.")
    output.say(f"Everything it keeps is in {settings.data_dir}")
    output.say()


def _announce(settings: Settings, output: Output, seconds: float) -> None:
    url = f"http://localhost:{settings.api.port}" if settings.api.host in LOOPBACK else commands.api_url(settings)
    for line in (
        "",
        f"Ready in {seconds:.1f} s:  {url}   API documentation: {url}/docs",
        "",
        f"  curl -X POST {url}/predict/ -H 'Content-Type: application/json' \\",
        """       -d '{"features": [5.1, 3.5, 1.4, 0.2]}'""",
        "",
        "Ctrl-C stops everything.",
        "",
    ):
        output.say(line)
