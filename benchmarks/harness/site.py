"""What is measured, as processes: the platform as shipped, and the references on uvicorn."""

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

import httpx

from ai_platform import settings as configuration
from ai_platform.access import keys
from ai_platform.access.terms import Terms
from ai_platform.local.servers import running_servers
from ai_platform.models.signing import signer
from ai_platform.settings import Settings
from ai_platform.storage import postgres
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


@dataclass(frozen=True, slots=True)
class Site:
    """Everything but the API processes: servers, models, a key.

    Attributes:
        settings: of the platform; authentication is on, everything else as shipped.
        key: with the scope `predict`.
        models: by name, published.
        forms: in which form each serves.
        folder: for files of this run.
    """

    settings: Settings
    key: str
    models: dict[str, Model]
    forms: dict[str, str]
    folder: Path

    @contextlib.contextmanager
    def api(self, cores: frozenset[int], processes: int = 1) -> Iterator[Server]:
        """The API on these cores, once every model answers, from every process."""
        settings = _with_processes(self.settings, processes)
        with contextlib.ExitStack() as stack:
            platform = Platform(settings, self.folder)
            stack.callback(platform.stop)
            with pinned(cores):
                part = platform.start("api")
            eventually(lambda: platform.answers("/health/ready"), START_SECONDS, "the API is ready")
            # Each asks over a connection of its own, so that every process is asked.
            asked = list(self.models.values()) * (1 if processes == 1 else EACH_PROCESS * processes)
            eventually(lambda: all(self.ask(platform.url, model) for model in asked), READY_SECONDS, "models answer")
            yield Server(part.pid, platform.port)

    def ask(self, url: str, model: Model, rows: int = 1) -> bytes:
        """One prediction; nothing if there was none."""
        answer = httpx.post(
            url + model.path, content=model.body(rows), timeout=30,
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )  # fmt: skip
        return answer.content if answer.status_code == 200 else b""


@contextlib.contextmanager
def site(folder: Path, names: Iterable[str]) -> Iterator[Site]:
    """PostgreSQL and Valkey with these models published."""
    with running_servers() as servers:
        settings = configuration.load(
            auth="on", database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=folder
        )
        migrate(settings)
        models = {name: MODELS[name]() for name in MODELS if name in set(names)}
        forms = _published(models, settings, folder)
        with postgres.connect(settings, "benchmark") as connection:
            key, _ = keys.create(connection, Terms(owner="benchmark", scopes=["predict"]), "benchmark", None)
        yield Site(settings, key, models, forms, folder)


@contextlib.contextmanager
def reference(
    name: str, cores: frozenset[int], answer: bytes, models: dict[str, Path], folder: Path
) -> Iterator[Server]:
    """`bare`, `noop` or `naive` on uvicorn with uvloop and httptools, without an access log."""
    file = folder / f"{name}.answer"
    file.write_bytes(answer)
    environment = {
        **os.environ,
        "BENCH_ANSWER": str(file),
        "BENCH_MODELS": json.dumps({model: str(path) for model, path in models.items()} if name == "naive" else {}),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.harness.references:{name}", "--port", str(port),
               "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]  # fmt: skip
    with (folder / f"{name}.log").open("ab") as log, pinned(cores):
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        eventually(lambda: _listens(port), START_SECONDS, f"the reference {name} answers")
        yield Server(process.pid, port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        httpx.post(f"http://127.0.0.1:{port}/predict/", content=b"{}")
    except httpx.TransportError:
        return False
    return True


def _published(models: dict[str, Model], settings: Settings, folder: Path) -> dict[str, str]:
    """In which form each serves; each is proved in a process of its own, so they are published side by side."""
    signer(settings.signing_key_file, settings.trusted_keys_dir)  # makes the keys, which two must not do at once
    with pinned(ALL), ThreadPoolExecutor(len(ALL)) as threads:
        return dict(
            zip(models, threads.map(lambda model: model.publish(settings, folder), models.values()), strict=True)
        )


def _with_processes(settings: Settings, processes: int) -> Settings:
    """Several processes, where the platform has them."""
    if processes == 1 or "processes" not in type(settings.api).model_fields:
        return settings
    return settings.model_copy(update={"api": settings.api.model_copy(update={"processes": processes})})
