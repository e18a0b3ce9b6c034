"""What tests of several tiers share: a trained iris, and a platform whose parts are real processes."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import msgspec
import psutil
from sklearn.datasets import load_iris

from ai_platform import settings as configuration
from ai_platform.models.loading.signing import signer
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.announcements import announce
from ai_platform.models.registry.manifest import decode, encode
from ai_platform.models.validation.validate import Signed, Validated, Validator
from ai_platform.settings import PREFIX, Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis
from ai_platform.training import iris as iris_training
from ai_platform.training import model_file

SAMPLE = {"features": [5.1, 3.5, 1.4, 0.2]}
START_SECONDS = 30.0


@dataclass(frozen=True)
class Iris:
    """A trained model file, the keys that signed it, and what validation it once has found."""

    files: model_file.ModelFile
    keys: Path
    signing_key: Path
    validated: Validated


def train_iris(folder: Path) -> Iris:
    return written(iris_training.train(), folder, folder / "keys", folder / "private" / "signing.pem")


def train_other_iris(iris: Iris, folder: Path) -> Iris:
    """Another model of the same flowers, so strongly regularised that its probabilities are quite different."""
    trained = iris_training.train()
    data = load_iris()
    trained.estimator.set_params(logisticregression__C=0.01).fit(data.data, data.target)
    return written(trained, folder, iris.keys, iris.signing_key)


def written(trained: iris_training.Trained, folder: Path, keys: Path, signing_key: Path) -> Iris:
    files = model_file.write(trained, folder / "model.pkl", signer(signing_key, keys))
    models = configuration.load().models.model_copy(update={"trusted_keys_dir": keys})
    settings = configuration.load(models=models)
    return Iris(
        files,
        keys,
        signing_key,
        Validator.of(settings).validate(files.artifact, files.signed(), is_signed=False, workdir=folder),
    )


def publish_iris(settings: Settings, iris: Iris, *, spoiled: bool = False) -> int:
    """Publish it as production, without validating it again: that takes two seconds of a core.

    A spoiled one is signed as it should be, and says of itself that it predicts what it does not.
    """
    validated, signed = iris.validated, iris.files.signed()
    if spoiled:
        described = decode(signed.manifest)
        golden = msgspec.structs.replace(described.golden, predictions=[2] * len(described.golden.rows))
        manifest = encode(msgspec.structs.replace(described, golden=golden))
        signed = Signed(manifest, signer(iris.signing_key, iris.keys).sign(manifest))
    compiled = None if validated.compiled is None else (sha256_of(validated.compiled), validated.compiled)
    with Database.of(settings).connect("test") as connection:
        version = versions.add(
            connection, iris.files.artifact, signed.manifest, signed.signature, created_by="test", compiled=compiled,
            validation=msgspec.to_builtins(validated.report),
        )  # fmt: skip
        aliases.point(connection, "iris", aliases.PRODUCTION, (aliases.Target(version),), by="test")
    announce(Redis.of(settings) if settings.redis_url else None, "iris")
    return version


def sha256_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def eventually(condition: Callable[[], Any], seconds: float = 10.0, what: str = "condition") -> Any:
    """Wait until a condition holds, and give what it returned."""
    limit = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < limit, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give a process these settings."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for name, value in settings.model_dump(exclude_defaults=True).items():
        if isinstance(value, dict):
            variables |= {
                f"{PREFIX}{name}__{key}".upper(): _text(part) for key, part in value.items() if part is not None
            }
        elif value is not None:
            variables[f"{PREFIX}{name}".upper()] = _text(value)
    return variables


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        return str(value.get_secret_value())
    if isinstance(value, list):
        return json.dumps(value)
    return str(value)


class Part:
    """One process of the platform."""

    def __init__(self, command: str, settings: Settings, log: Path) -> None:
        self._command = [sys.executable, "-m", "ai_platform.cli", command]
        self._environment = environment(settings)
        self.log = log
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal_all(self, number: int) -> None:
        """Signal the process and its children (a prefork worker's stay in its process group)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        self.signal_all(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Platform:
    """API, worker and sweeper as processes, over servers that exist already."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        port = free_port()
        self.settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.client = httpx.Client(base_url=self.url, timeout=40)
        self.parts: dict[str, Part] = {}
        self.secrets: set[str] = set()

    @classmethod
    @contextlib.contextmanager
    def running(cls, settings: Settings, *names: str) -> "Iterator[Platform]":
        """Start the named parts (all three by default), wait until they are ready, stop them at the end."""
        platform = cls(settings, settings.data_dir)
        names = names or ("api", "worker", "sweeper")
        try:
            for name in names:
                platform.start(name)
            if "api" in names:
                eventually(lambda: platform.answers("/health/ready"), START_SECONDS, "the API is ready")
                if "worker" in names:
                    eventually(platform.workers_alive, START_SECONDS, "a worker is alive")
            yield platform
        finally:
            platform.stop()

    def start(self, name: str) -> Part:
        part = Part(name, self.settings, self.folder / f"{name}.log")
        self.parts[name] = part
        return part

    def answers(self, path: str) -> bool:
        try:
            return self.client.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def workers_alive(self) -> int:
        health = self.client.get("/health").json()
        return int(health["workers"].get("alive", 0)) if "workers" in health else int(health["status"] == "ok")

    def accept(self, body: Any = SAMPLE, **headers: str) -> str:
        """Accept a job, and give its id."""
        answer = self.client.post("/predict/async", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        answer = self.client.get(f"/jobs/{job_id}", params={"wait": wait} if wait else {})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def stop(self) -> None:
        failures = []
        self.client.close()  # an idle connection is given time to send once more
        for name, part in self.parts.items():
            try:
                part.stop()
            except subprocess.TimeoutExpired:
                failures.append(name)
        assert not failures, f"not stopped within 15 s: {failures}"
        self.require_that_no_secret_was_logged()

    def require_that_no_secret_was_logged(self) -> None:
        """After everything that the tests did to this platform; what they use as a secret they add to `secrets`."""
        for url in (self.settings.database_dsn, self.settings.redis_dsn):
            password = urlsplit(url).password
            if password:
                self.secrets |= {password, unquote(password)}
        for name, part in self.parts.items():
            text = part.log.read_text(errors="replace")
            leaked = [secret for secret in self.secrets if secret in text]
            assert not leaked, f"{len(leaked)} secrets stand in the log of {name}"
