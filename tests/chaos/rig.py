"""A platform to be broken: real processes, servers of its own, proxies between them, a record of every move."""

import contextlib
import hashlib
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import redis
from psycopg.rows import dict_row

from ai_platform import failpoints
from ai_platform import settings as configuration
from ai_platform.errors import StackError
from ai_platform.jobs.invariants import INVARIANTS, broken
from ai_platform.jobs.job import FINAL
from ai_platform.jobs.notifier import QUEUE
from ai_platform.local.embedded.servers import Server, Servers, running_servers
from ai_platform.models.loading.signing import signer
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.manifest import Golden, Manifest, encode
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import KEY_PREFIX
from ai_platform.storage.schema import migrate
from chaos import troubled
from chaos.troubled import Trouble
from harness import SAMPLE, START_SECONDS, Iris, Part, Platform, eventually, publish_iris
from tcp_proxy import TcpProxy

# Every interval shorter than in earnest, in proportion.
SCALED = {"lease_seconds": 1.0, "heartbeat_seconds": 0.2, "sweep_seconds": 0.2, "renotify_seconds": 1.0,
          "hard_limit_seconds": 4.0}  # fmt: skip
TROUBLED_LIMIT = 1.5
SETTLE_SECONDS = 30.0
# A moment for which a server or a process hangs: longer than a lease.
HANG_SECONDS = 1.5

# Every move of every job, written down by the database itself in the transaction that makes it.
AUDIT = """
CREATE TABLE audit (number bigint GENERATED ALWAYS AS IDENTITY, job uuid NOT NULL, before text, after text NOT NULL,
    attempt_before int, attempt int NOT NULL, worker text, at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION audit_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (job, before, after, attempt_before, attempt, worker)
    VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state,
        CASE WHEN TG_OP = 'UPDATE' THEN OLD.attempt END, NEW.attempt, NEW.lease_owner);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_insert AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION audit_job();
CREATE TRIGGER audit_update AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION audit_job();
"""
# More than one end, a change after the end, or an attempt that falls: none of it may ever be seen.
DISHONEST = """
SELECT job FROM audit WHERE after IN ('succeeded', 'failed', 'cancelled', 'expired') GROUP BY job HAVING count(*) > 1
UNION ALL SELECT job FROM audit WHERE before IN ('succeeded', 'failed', 'cancelled', 'expired')
UNION ALL SELECT job FROM audit WHERE attempt < attempt_before
"""


class Rig(Platform):
    """A platform over servers of its own. `name-2` is a second process of the part `name`."""

    def __init__(self, servers: Servers, iris: Iris, folder: Path, **jobs: Any) -> None:
        assert servers.postgres is not None
        assert servers.valkey is not None
        self.postgres: Server = servers.postgres
        self.valkey: Server = servers.valkey
        self.iris = iris
        self.armed = folder / "failpoints"
        self.armed.mkdir(parents=True)
        settings = configuration.load(
            auth="off", database_url=self.postgres.url, redis_url=self.valkey.url, data_dir=folder,
            failpoints_dir=self.armed,
        )  # fmt: skip
        groups = {
            "models": {"trusted_keys_dir": iris.keys, "cache_dir": folder / "models", "ready": "all"},
            "worker": {"concurrency": 2},
            "jobs": jobs,
            "database": {"statement_seconds": 2.0} if jobs else {},  # scaled with the rest, or all as it is
        }
        settings = settings.model_copy(
            update={name: getattr(settings, name).model_copy(update=changed) for name, changed in groups.items()}
        )
        migrate(Database.of(settings))
        publish_iris(settings, iris)
        publish_troubled(settings, iris)
        super().__init__(settings, folder)
        self.proxies = {
            (part, server): TcpProxy(url)
            for part in ("api", "worker")
            for server, url in (("postgres", self.postgres.url), ("valkey", self.valkey.url))
        }
        self.query(AUDIT)

    @classmethod
    @contextlib.contextmanager
    def started(cls, iris: Iris, folder: Path, *names: str, **jobs: Any) -> "Iterator[Rig]":
        """Servers and the named parts (all three by default), ready."""
        with running_servers(
            postgres_settings={"max_connections": "200"}, valkey_settings={"appendonly": "yes"}
        ) as servers:
            rig = cls(servers, iris, folder, **jobs)
            try:
                for name in names or ("api", "worker", "sweeper"):
                    rig.start(name)
                rig.ready()
                yield rig
            finally:
                rig.end()

    def end(self) -> None:
        """Stop every part, whatever state the test left it in."""
        try:
            self.heal()
            self.stop()
        finally:
            for part in self.parts.values():
                part.kill()
            for proxy in self.proxies.values():
                proxy.close()

    # ------------------------------------------------------------------ processes

    def start(self, name: str) -> Part:
        kind = name.partition("-")[0]
        settings = self.settings
        if (kind, "postgres") in self.proxies:
            urls = {"database_url": self.proxies[kind, "postgres"].url, "redis_url": self.proxies[kind, "valkey"].url}
            settings = configuration.load(**{**_given(settings), **urls})
        part = Part(kind, settings, self.folder / f"{name}.log")
        self.parts[name] = part
        return part

    def restart(self, name: str) -> None:
        """What a supervisor does after a death."""
        part = self.parts[name]
        part.kill()
        part.start()
        if name == "api":
            self.renew_client()
            eventually(lambda: self.answers("/health/ready"), START_SECONDS, "the API is ready")

    def renew_client(self) -> None:
        self.client.close()
        self.client = httpx.Client(base_url=self.url, timeout=10)

    def ready(self) -> None:
        """Wait until every part that was started answers."""
        if "api" in self.parts:
            eventually(lambda: self.answers("/health/ready"), START_SECONDS, "the API is ready")
        if "worker" in self.parts:
            eventually(
                lambda: len(self.workers()) == self.settings.worker.concurrency,
                START_SECONDS,
                "workers send heartbeats",
            )

    def workers(self) -> list[dict[str, Any]]:
        """The worker children that the database knows of and that live."""
        rows = self.query(
            "SELECT name, pid FROM workers WHERE heartbeat_at > now() - interval '1 second' ORDER BY started_at"
        )
        return [row for row in rows if psutil.pid_exists(row["pid"])]

    def children(self) -> list[int]:
        """The worker's children; one that has just been killed is not among them."""
        found = psutil.Process(self.parts["worker"].pid).children()
        return [child.pid for child in found if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    def stopped_child(self) -> int | None:
        for pid in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                    return pid
        return None

    def logged(self, name: str, text: str) -> int:
        """How often a part has written this."""
        return self.parts[name].log.read_text(errors="replace").count(text)

    # ------------------------------------------------------------------ failpoints

    def arm(self, point: str, action: str) -> None:
        assert point in failpoints.POINTS
        draft = self.armed / f".{point}"
        draft.write_text(action, encoding="ascii")
        draft.rename(self.armed / point)

    def is_armed(self, point: str) -> bool:
        return (self.armed / point).exists()

    def heal(self) -> None:
        """Whatever hangs goes on, and nothing is armed."""
        for armed in self.armed.iterdir():
            armed.unlink(missing_ok=True)
        for proxy in self.proxies.values():
            proxy.spare()
            proxy.relay()
        for server in (self.postgres, self.valkey):
            if _runs(server):
                server.resume()
            else:
                server.start()
        for part in self.parts.values():
            part.signal_all(signal.SIGCONT)

    # ------------------------------------------------------------------ jobs

    def submit(self, body: Any = SAMPLE, *, model: str | None = None, key: str | None = None) -> httpx.Response:
        path = "/predict/async" if model is None else f"/models/{model}/predict/async"
        return self.client.post(path, json=body, headers={} if key is None else {"Idempotency-Key": key})

    def promised(self, body: Any = SAMPLE, *, model: str | None = None, key: str | None = None) -> str:
        """The id of a job that got a 202."""
        answer = self.submit(body, model=model, key=key)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def troubled(self, number: float, trouble: Trouble = Trouble.NONE) -> str:
        return self.promised({"features": [number, int(trouble)]}, model="troubled")

    def query(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.postgres.url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def row(self, job_id: str) -> dict[str, Any]:
        (row,) = self.query("SELECT * FROM jobs WHERE id = %(id)s", id=job_id)
        return row

    def ended(self, job_id: str, seconds: float = SETTLE_SECONDS) -> dict[str, Any]:
        """The row of a job once it is final; it must be so in time."""

        def look() -> dict[str, Any] | None:
            row = self.row(job_id)
            return row if row["state"] in FINAL else None

        found: dict[str, Any] = eventually(look, seconds, f"job {job_id} ends")
        return found

    def succeeded(self, *ids: str, seconds: float = SETTLE_SECONDS) -> list[dict[str, Any]]:
        limit = time.monotonic() + seconds
        rows = [self.ended(job_id, max(0.1, limit - time.monotonic())) for job_id in ids]
        assert {row["state"] for row in rows} <= {"succeeded"}, [row for row in rows if row["state"] != "succeeded"]
        return rows

    def of_key(self, key: str) -> list[str]:
        rows = self.query("SELECT jobs.id FROM jobs JOIN idempotency_keys ON job_id = jobs.id WHERE key = %(k)s", k=key)
        return [str(row["id"]) for row in rows]

    def moves(self, job_id: str) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM audit WHERE job = %(id)s ORDER BY number", id=job_id)

    def held_by(self, pid: int) -> list[str]:
        rows = self.query(
            "SELECT id FROM jobs JOIN workers ON lease_owner = name WHERE state = 'running' AND pid = %(p)s", p=pid
        )
        return [str(row["id"]) for row in rows]

    def assert_honest(self, seconds: float = SETTLE_SECONDS) -> None:
        """Nothing waits, every invariant holds, and no job ever ended twice or changed after its end."""
        waiting = "SELECT id, state, attempt, isolated FROM jobs WHERE state IN ('queued', 'running')"
        eventually(lambda: not self.query(waiting), seconds, "every job ends")
        found = broken(Database.of(self.settings), self.settings.jobs)
        assert not found, {INVARIANTS[name][0]: ids for name, ids in found.items()}
        assert self.query(DISHONEST) == []

    # ------------------------------------------------------------------ servers

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.valkey.url, socket_timeout=2)

    def notifications(self) -> int:
        with self.redis() as client:
            return int(client.llen(f"{KEY_PREFIX}{QUEUE}"))

    def wipe_valkey(self) -> None:
        """Crash it, and remove everything that it ever wrote."""
        self.valkey.kill()
        for left in self.valkey.program.folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.suffix in {".rdb", ".aof"}:
                left.unlink()
        self.valkey.start()

    def crash_postgres(self, number: signal.Signals) -> None:
        """SIGKILL, or SIGQUIT: `pg_ctl stop -m immediate`."""
        if number == signal.SIGKILL:
            self.postgres.kill()
        else:
            os.kill(self.postgres.pid, number)
            eventually(lambda: not _lives(self.postgres.pid), 10, "PostgreSQL has gone")
            self.postgres.kill()
        self.postgres.start()

    def terminate_backends(self) -> int:
        """Every connection of the platform, cut from the server's side."""
        terminated = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'aip-%'"
        return len(self.query(terminated))


def publish_troubled(settings: Settings, iris: Iris) -> int:
    """A signed model that misbehaves on demand, with a time limit of its own."""
    artifact = Path(troubled.__file__)
    source = artifact.read_bytes()
    manifest = encode(
        Manifest(
            model="troubled",
            format="python",
            sha256=hashlib.sha256(source).hexdigest(),
            size=len(source),
            signature=Signature(inputs=(Feature(name="number", example=1.0), Feature(name="trouble", example=0.0))),
            libraries=FORMATS["python"].libraries(),
            metrics={},
            golden=Golden([[1.0, 0.0], [2.0, 0.0]], [2.0, 4.0]),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            hard_limit_seconds=TROUBLED_LIMIT,
        )
    )
    signature = signer(iris.signing_key, iris.keys).sign(manifest)
    with Database.of(settings).connect("test") as connection:
        version = versions.add(connection, artifact, manifest, signature, created_by="test")
        aliases.point(connection, "troubled", aliases.PRODUCTION, (aliases.Target(version),), by="test")
    return version


def new_key() -> str:
    return uuid.uuid4().hex


def _given(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in type(settings).model_fields}


def _runs(server: Server) -> bool:
    try:
        return _lives(server.pid)
    except StackError:
        return False


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
