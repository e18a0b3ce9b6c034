"""What is measured, as processes: the platform as shipped, and other designs on uvicorn."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from ai_platform import settings as configuration
from ai_platform.access import keys
from ai_platform.access.key_spec import KeySpec
from ai_platform.local.embedded.servers import Servers, running_servers
from ai_platform.models.loading.signing import signer
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.schema import migrate
from benchmarks import ROOT
from benchmarks.harness.cores import ALL, pinned
from benchmarks.harness.models import MODELS, Model
from harness import START_SECONDS, Platform, eventually, free_port

READY_SECONDS = 60.0
EACH_PROCESS = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is up.

    Attributes:
        pid: of its first process.
        port: on 127.0.0.1.
    """

    pid: int
    port: int

    @classmethod
    def of(cls, platform: Platform) -> "Server":
        """The platform's API."""
        return cls(platform.parts["api"].pid, platform.port)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def serving(self) -> list[psutil.Process]:
        """The processes that answer, oldest first: those children of the first one that listen too."""
        children = psutil.Process(self.pid).children()
        return sorted((child for child in children if self.is_heard_by(child)), key=lambda child: child.create_time())

    def is_heard_by(self, process: psutil.Process) -> bool:
        """Whether a process listens on its port."""
        try:
            found = process.net_connections("tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(each.laddr.port == self.port and each.status == psutil.CONN_LISTEN for each in found)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything but the platform's own processes: servers, models, a key.

    Attributes:
        servers: PostgreSQL and Valkey.
        settings: of the platform; authentication is on, everything else as shipped.
        key: with the scope `predict`.
        models: by name, published.
        forms: in which form each serves.
        folder: for files of this run.
    """

    servers: Servers
    settings: Settings
    key: str
    models: dict[str, Model]
    forms: dict[str, str]
    folder: Path

    @property
    def headers(self) -> dict[str, str]:
        """Of its requests."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    @contextlib.contextmanager
    def api(self, cores: frozenset[int] = ALL, processes: int = 1, **changes: Any) -> Iterator[Server]:
        """The API alone on these cores, as `platform` starts it."""
        with self.platform(cores, processes, **changes) as platform:
            yield Server.of(platform)

    @contextlib.contextmanager
    def platform(self, cores: frozenset[int], processes: int = 1, **changes: Any) -> Iterator[Platform]:
        """With its API on these cores, once every model answers, from every process; with these settings changed."""
        api = self.settings.api.model_copy(update={"processes": processes})
        settings = self.settings.model_copy(update={"api": api, **changes})
        settings.data_dir.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            with pinned(cores):
                platform = stack.enter_context(Platform.running(settings, "api"))
            server = Server.of(platform)
            eventually(lambda: processes == 1 or len(server.serving()) == processes, READY_SECONDS, "all serve")
            # Each asks over a connection of its own, so that every process is asked.
            asked = list(self.models.values()) * (1 if processes == 1 else EACH_PROCESS * processes)
            eventually(lambda: all(self.ask(server, model) for model in asked), READY_SECONDS, "models answer")
            yield platform

    def ask(self, server: Server, model: Model, rows: int = 1) -> bytes:
        """One prediction; nothing if there was none."""
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(server.url + model.path, content=model.body(rows), timeout=30, headers=self.headers)
            return answer.content if answer.status_code == 200 else b""
        return b""

    def new_key(self, **limits: Any) -> str:
        """A key with the scope `predict`."""
        with Database.of(self.settings).connect("benchmark") as connection:
            text, _ = keys.create(
                connection, KeySpec(owner="benchmark", scopes=["predict"], **limits), "benchmark", None
            )
        return text


@contextlib.contextmanager
def site(folder: Path, names: Iterable[str], *, durable: bool = False) -> Iterator[Site]:
    """PostgreSQL, which commits synchronously if durable, and Valkey, with these models published."""
    with running_servers(durable=durable) as servers:
        settings = configuration.load(
            auth="on", database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=folder
        )
        # They stay where they are when a platform gets a data folder of its own.
        trusted = settings.models.model_copy(update={"trusted_keys_dir": settings.trusted_keys_dir})
        settings = settings.model_copy(update={"models": trusted})
        migrate(Database.of(settings))
        models = {name: MODELS[name]() for name in MODELS if name in set(names)}
        made = Site(servers, settings, "", models, _published(models, settings, folder), folder)
        yield Site(servers, settings, made.new_key(), models, made.forms, folder)


@contextlib.contextmanager
def reference(
    name: str, cores: frozenset[int], answer: bytes, models: dict[str, Path], folder: Path
) -> Iterator[Server]:
    """`bare`, `noop`, `naive` or `usual` of `references.py`."""
    file = folder / f"{name}.answer"
    file.write_bytes(answer)
    estimators = {model: str(path) for model, path in models.items()} if name in {"naive", "usual"} else {}
    variables = {"BENCH_ANSWER": str(file), "BENCH_MODELS": json.dumps(estimators)}
    with uvicorn(f"benchmarks.harness.references:{name}", cores, variables, folder / f"{name}.log") as server:
        yield server


@contextlib.contextmanager
def uvicorn(application: str, cores: frozenset[int], variables: dict[str, str], log: Path) -> Iterator[Server]:
    """An application on uvicorn with uvloop and httptools, without an access log."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port),
               "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]  # fmt: skip
    with running(command, cores, variables, log) as process:
        server = Server(process.pid, port)
        eventually(lambda: server.is_heard_by(psutil.Process(server.pid)), START_SECONDS, f"{application} answers")
        yield server


@contextlib.contextmanager
def running(
    command: list[str], cores: frozenset[int], variables: dict[str, str], log: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    """A process on these cores, with a group of its own, which is killed at the end."""
    environment = {**os.environ, **variables}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    with log.open("ab") as output, pinned(cores):
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _published(models: dict[str, Model], settings: Settings, folder: Path) -> dict[str, str]:
    """In which form each serves; each is validated in a process of its own, so they are published side by side."""
    signer(settings.signing_key_file, settings.trusted_keys_dir)  # makes the keys, which two must not do at once
    with pinned(ALL), ThreadPoolExecutor(len(ALL)) as threads:
        forms = threads.map(lambda model: model.publish(settings, folder), models.values())
        return dict(zip(models, forms, strict=True))
