"""Durable jobs beside the stock design, in one run and interleaved.

Measured: accepting over HTTP with the workers stopped, against a FastAPI route that checks the same body and does
nothing; draining a backlog with one worker process; both together over HTTP; and one idle POST-to-result. PostgreSQL
commits synchronously (`fsync` and `synchronous_commit` on). Quote the ratios: they come from rounds taken in turn.
"""

import abc
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from benchmarks import ROOT
from benchmarks.harness.cores import ALL, LOAD, SERVER, pinned
from benchmarks.harness.figures import ratios, series, shown, spread, table
from benchmarks.harness.models import BODY
from benchmarks.harness.scenario import DURABLE, Bench, Figures, Scenario
from benchmarks.harness.site import Server, Site, running, uvicorn
from benchmarks.load.generators import answered
from benchmarks.load.plan import Call, Plan
from harness import SAMPLE, Platform, eventually

CONNECTIONS = 64
WARM = 20
WHOSE = ("ours", "reference")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs a design gets: as a backlog, over HTTP to be computed at once, and one by one."""

    backlog: int
    both: int
    idle: int


class Design(abc.ABC):
    """One of both, on the same servers: an API, and a worker while it is measured.

    Attributes:
        api: its API.
        path: what accepting is measured by.
        tables: what it knows of jobs.
        succeeded: what counts those that have.
    """

    path: str
    tables: str
    succeeded: str

    def __init__(self, api: Server, database: str) -> None:
        self.api, self.database = api, database

    def clear(self) -> None:
        """Forget all jobs."""
        execute(self.database, f"TRUNCATE {self.tables}")

    def finished(self) -> int:
        """How many jobs have succeeded since."""
        return execute(self.database, f"SELECT count(*) FROM {self.succeeded}")

    @abc.abstractmethod
    def working(self, backlog: int = 0) -> contextlib.AbstractContextManager[None]:
        """One worker process, and so many jobs that it has just begun to compute."""

    @abc.abstractmethod
    def wait(self) -> None:
        """One job, from the POST to its result."""


class Ours(Design):
    """The platform."""

    path, tables, succeeded = "/predict/async", "jobs, idempotency_keys", "jobs WHERE state = 'succeeded'"

    def __init__(self, platform: Platform) -> None:
        super().__init__(Server.of(platform), platform.settings.database_dsn)
        self._platform = platform

    @contextlib.contextmanager
    def working(self, backlog: int = 0) -> Iterator[None]:
        self.clear()
        execute(
            self.database,
            "INSERT INTO jobs (id, owner, model, version, input, max_attempts, hard_limit_seconds, notified_at)"
            " SELECT uuidv7(), 'anonymous', 'iris', 1, '{\"rows\":[[5.1,3.5,1.4,0.2]],\"single\":true}', 5, 60,"
            f" to_timestamp(0) FROM generate_series(1, {backlog})",
        )
        execute(self.database, "ANALYZE jobs")
        with contextlib.ExitStack() as stack:
            for name in ("worker", "sweeper"):
                stack.callback(self._platform.start(name).kill)
                stack.callback(self._platform.parts.pop, name)
            eventually(self._platform.workers_alive, 30, "a worker is alive")
            yield

    def wait(self) -> None:
        assert self._platform.job(self._platform.accept(), wait=10)["status"] == "succeeded"


class Stock(Design):
    """The stock design (`harness/stock.py`)."""

    path, tables, succeeded = "/noop", "celery_taskmeta", "celery_taskmeta WHERE status = 'SUCCESS'"

    def __init__(self, site: Site, stack: contextlib.ExitStack) -> None:
        database = site.servers.postgres_url.rsplit("/", 1)[0] + "/stock"
        execute(site.servers.postgres_url, "CREATE DATABASE stock")
        self._folder = site.folder
        self._variables = {
            "BENCH_BROKER": site.servers.redis_url.rsplit("/", 1)[0] + "/5",
            "BENCH_BACKEND": "db+" + database.replace("postgresql://", "postgresql+psycopg://"),
            "BENCH_MODEL": str(site.models["iris"].pickle(site.folder)),
        }
        log = site.folder / "stock-api.log"
        api = stack.enter_context(uvicorn("benchmarks.harness.stock:app", SERVER, self._variables, log))
        super().__init__(api, database)
        self._client = stack.enter_context(httpx.Client(base_url=api.url))
        with self.working():  # makes its tables
            pass

    @contextlib.contextmanager
    def working(self, backlog: int = 0) -> Iterator[None]:
        """The worker has computed some already."""
        command = [sys.executable, "-m", "celery", "-q", "-A", "benchmarks.harness.stock:celery", "worker", "-c", "1",
                   "--without-gossip", "--without-mingle", "-l", "warning", "-Q", "stock"]  # fmt: skip
        with running(command, ALL, self._variables, self._folder / "stock-worker.log") as process:
            self._publish(WARM)
            eventually(self._is_warm, 60, "the stock worker is warm")
            self.clear()
            if backlog:
                os.killpg(process.pid, signal.SIGSTOP)
                self._publish(backlog)
                os.killpg(process.pid, signal.SIGCONT)
            yield

    def wait(self) -> None:
        begun = time.perf_counter()
        task = self._client.post("/predict/async", json=SAMPLE).json()["task_id"]
        while self._client.get(f"/result/{task}").json()["status"] != "SUCCESS":
            assert time.perf_counter() - begun < 30

    def _is_warm(self) -> bool:
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            return self.finished() >= WARM
        return False

    def _publish(self, count: int) -> None:
        command = [sys.executable, "-m", "benchmarks.harness.stock", str(count)]
        subprocess.run(command, env={**os.environ, **self._variables}, cwd=ROOT, check=True, timeout=120)


def execute(database: str, statement: str) -> int:
    """Run a statement, and give the number that it selects."""
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return int((found.fetchone() or [0])[0]) if found.description else 0


def seconds_of(run: Callable[[], Any]) -> float:
    """What a call takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def accepting(design: Design, _sizes: Sizes, seconds: float) -> float:
    """Jobs accepted per second while nothing computes them, or requests of a route that only validates."""
    design.clear()
    _load(design.api, design.path, 1.0, 1)
    return _load(design.api, design.path, seconds)


def draining(design: Design, sizes: Sizes, _seconds: float) -> float:
    """Jobs of a backlog computed per second."""
    with design.working(sizes.backlog):
        left = sizes.backlog - design.finished()
        return left / seconds_of(lambda: eventually(lambda: design.finished() == sizes.backlog, 120, "it is drained"))


def accepting_and_computing(design: Design, sizes: Sizes, _seconds: float) -> float:
    """Jobs accepted over HTTP and computed, per second from the first request to the last result."""
    with design.working():
        begun = time.perf_counter()
        _load(design.api, "/predict/async", 60, sizes.both)
        eventually(lambda: design.finished() >= sizes.both, 60, "all are computed")
        return design.finished() / (time.perf_counter() - begun)


def waiting(design: Design, sizes: Sizes, _seconds: float) -> float:
    """Milliseconds from a POST to its result, one at a time."""
    with design.working():
        design.wait()
        return statistics.median(seconds_of(design.wait) for _ in range(sizes.idle)) * 1000


MEASURES: dict[str, tuple[Callable[[Design, Sizes, float], float], str]] = {
    "accepting over HTTP, 64 connections, beside a route that only validates": (accepting, "/s"),
    "draining a backlog of 50,000 (stock: 400)": (draining, "/s"),
    "accepting and computing over HTTP, 64 connections": (accepting_and_computing, "/s"),
    "one idle POST to its result, p50": (waiting, "ms"),
}


def run(bench: Bench) -> Figures:
    """Each figure over the rounds, ours and the reference's, and the rounds' ratios."""
    full = (Sizes(50_000, 4_000, 60), Sizes(400, 250, 60))
    sizes = (Sizes(500, 100, 5), Sizes(20, 20, 5)) if bench.options.quick else full
    with designs(bench.site) as both:

        def measure(name: str) -> Figures:
            each, seconds = MEASURES[name][0], bench.options.seconds
            found = (each(design, size, seconds) for design, size in zip(both, sizes, strict=True))
            return dict(zip(WHOSE, found, strict=True))

        rounds = bench.in_turn(list(MEASURES), measure)
    mine, theirs = (series(rounds, whose) for whose in WHOSE)
    return {
        "series": {
            name: {"unit": unit, "ours": spread(mine[name]), "reference": spread(theirs[name]),
                   "ratio": statistics.median(ratios(mine[name], theirs[name]))}
            for name, (_, unit) in MEASURES.items()
        }
    }  # fmt: skip


@contextlib.contextmanager
def designs(site: Site) -> Iterator[tuple[Design, Design]]:
    """Both on the same durable servers; each API on one core, the load on the other, the rest on both."""
    many = {"max_queued_per_owner": 10**7, "max_queued_jobs": 10**7}
    jobs, worker = site.settings.jobs.model_copy(update=many), site.settings.worker
    worker = worker.model_copy(update={"concurrency": 1})
    with contextlib.ExitStack() as stack, site.platform(SERVER, auth="off", jobs=jobs, worker=worker) as platform:
        yield Ours(platform), Stock(site, stack)


def _load(server: Server, path: str, seconds: float, requests: int = 0) -> float:
    call = Call("job", path, BODY, expect=200 if path == Stock.path else 202)
    with pinned(LOAD):
        return float(answered(Plan(server.port, "", [call], CONNECTIONS, seconds, requests))["per_second"])


def write(figures: Figures) -> dict[str, Any]:
    """Ours beside the reference."""
    rows = [
        [name, *(f"{shown(each[whose], digits=2)} {each['unit']}" for whose in WHOSE), f"{each['ratio']:.2f}"]
        for name, each in figures["series"].items()
    ]
    return {"table": table("What | this platform | reference | ratio", rows)}


SCENARIO = Scenario("jobs", "Durable jobs, measured", run, write, "jobs", servers=DURABLE, seconds=3)
