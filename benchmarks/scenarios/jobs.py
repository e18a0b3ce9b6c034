"""Durable jobs beside the stock design, in one run and interleaved.

Measured: accepting over HTTP with the workers stopped, against a FastAPI route that checks the same body and does
nothing; draining a backlog with one worker process; both together over HTTP; and one idle POST-to-result. PostgreSQL
commits synchronously (`fsync` and `synchronous_commit` on). Quote the ratios: they come from rounds taken in turn.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg

from benchmarks import ROOT
from benchmarks.harness.cores import ALL, LOAD, SERVER, pinned
from benchmarks.harness.figures import ratios, spread, table
from benchmarks.harness.scenario import DURABLE, Bench, Figures, Scenario
from benchmarks.harness.site import Server, Site, running, uvicorn
from benchmarks.load.generators import measured
from benchmarks.load.plan import Call, Plan
from harness import SAMPLE, Platform, eventually

CONNECTIONS = 64
BODY = '{"features": [5.1, 3.5, 1.4, 0.2]}'
WARM = 20


class Sizes:
    """How many jobs each part has."""

    def __init__(self, *, quick: bool) -> None:
        self.backlog, self.stock_backlog = (500, 20) if quick else (50_000, 400)
        self.both, self.stock_both = (100, 20) if quick else (4_000, 250)
        self.idle = 5 if quick else 60


class Stock:
    """The stock design (`harness/stock.py`) on the same servers: an API, and a worker while it is measured."""

    def __init__(self, site: Site, stack: contextlib.ExitStack) -> None:
        self.database = site.servers.postgres_url.rsplit("/", 1)[0] + "/stock"
        self._folder = site.folder
        self._variables = {
            "BENCH_BROKER": site.servers.redis_url.rsplit("/", 1)[0] + "/5",
            "BENCH_BACKEND": "db+" + self.database.replace("postgresql://", "postgresql+psycopg://"),
            "BENCH_MODEL": str(site.models["iris"].pickle(site.folder)),
        }
        with psycopg.connect(site.servers.postgres_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE stock")
        log = site.folder / "stock-api.log"
        self.api = stack.enter_context(uvicorn("benchmarks.harness.stock:app", SERVER, self._variables, log))
        with self.worker():
            pass

    @contextlib.contextmanager
    def worker(self) -> "Iterator[subprocess.Popen[bytes]]":
        """One prefork process, which has computed some already; its results are counted from 0 again."""
        command = [sys.executable, "-m", "celery", "-q", "-A", "benchmarks.harness.stock:celery", "worker", "-c", "1",
                   "--without-gossip", "--without-mingle", "-l", "warning", "-Q", "stock"]  # fmt: skip
        with running(command, ALL, self._variables, self._folder / "stock-worker.log") as process:
            self.publish(WARM)
            eventually(lambda: self.finished() >= WARM, 60, "the stock worker is warm")
            execute(self.database, "TRUNCATE celery_taskmeta")
            yield process

    def finished(self) -> int:
        try:
            return execute(self.database, "SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'")
        except psycopg.errors.UndefinedTable:
            return 0

    def publish(self, count: int) -> None:
        command = [sys.executable, "-m", "benchmarks.harness.stock", str(count)]
        subprocess.run(command, env={**os.environ, **self._variables}, cwd=ROOT, check=True, timeout=120)


class Ours:
    """The platform on the same servers."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.database = platform.settings.database_dsn
        self.api = Server(platform.parts["api"].pid, platform.port)

    def clear(self) -> None:
        execute(self.database, "TRUNCATE jobs, idempotency_keys")

    def finished(self) -> int:
        return execute(self.database, "SELECT count(*) FROM jobs WHERE state = 'succeeded'")

    def fill(self, count: int) -> None:
        execute(
            self.database,
            "INSERT INTO jobs (id, owner, model, version, input, max_attempts, hard_limit_seconds, notified_at)"
            " SELECT uuidv7(), 'anonymous', 'iris', 1, '{\"rows\":[[5.1,3.5,1.4,0.2]],\"single\":true}', 5, 60,"
            f" to_timestamp(0) FROM generate_series(1, {count})",
        )
        execute(self.database, "ANALYZE jobs")

    def without_worker(self) -> None:
        for name in ("worker", "sweeper"):
            part = self.platform.parts.pop(name, None)
            if part:
                part.kill()

    def with_worker(self) -> None:
        for name in ("worker", "sweeper"):
            if name not in self.platform.parts:
                self.platform.start(name)
        eventually(self.platform.workers_alive, 30, "a worker is alive")


def execute(database: str, statement: str) -> int:
    """Run a statement, and give the number that it selects."""
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return int((found.fetchone() or [0])[0]) if found.description else 0


Measure = Callable[[Ours, Stock, Sizes, float], tuple[float, float]]


def accepting(ours: Ours, stock: Stock, _sizes: Sizes, seconds: float) -> tuple[float, float]:
    """Jobs accepted per second while nothing computes them, and requests of a route that only validates."""
    ours.without_worker()
    ours.clear()
    ours.platform.accept()
    accepted = _load(ours.api, "/predict/async", seconds)
    return accepted["per_second"], _load(stock.api, "/noop", seconds)["per_second"]


def draining(ours: Ours, stock: Stock, sizes: Sizes, _seconds: float) -> tuple[float, float]:
    """Jobs of a backlog computed per second."""
    ours.without_worker()
    ours.clear()
    ours.fill(sizes.backlog)
    ours.with_worker()
    already = ours.finished()
    rate = (sizes.backlog - already) / _seconds_until(lambda: ours.finished() == sizes.backlog)
    ours.without_worker()
    with stock.worker() as process:
        os.killpg(process.pid, signal.SIGSTOP)
        stock.publish(sizes.stock_backlog)
        os.killpg(process.pid, signal.SIGCONT)
        return rate, sizes.stock_backlog / _seconds_until(lambda: stock.finished() == sizes.stock_backlog)


def accepting_and_computing(ours: Ours, stock: Stock, sizes: Sizes, _seconds: float) -> tuple[float, float]:
    """Jobs accepted over HTTP and computed, per second from the first request to the last result."""
    ours.clear()
    ours.with_worker()
    rate = _accepted_and_computed(ours.api, sizes.both, ours.finished)
    ours.without_worker()
    with stock.worker():
        return rate, _accepted_and_computed(stock.api, sizes.stock_both, stock.finished)


def waiting(ours: Ours, stock: Stock, sizes: Sizes, _seconds: float) -> tuple[float, float]:
    """Milliseconds from a POST to its result, one at a time."""
    ours.clear()
    ours.with_worker()
    mine = statistics.median(_wait_for_ours(ours) for _ in range(sizes.idle)) * 1000
    ours.without_worker()
    with stock.worker(), httpx.Client(base_url=stock.api.url) as client:
        _wait_for_stock(client)
        return mine, statistics.median(_wait_for_stock(client) for _ in range(sizes.idle)) * 1000


MEASURES: dict[str, tuple[Measure, str]] = {
    "accepting over HTTP, 64 connections, beside a route that only validates": (accepting, "/s"),
    "draining a backlog of 50,000 (stock: 400)": (draining, "/s"),
    "accepting and computing over HTTP, 64 connections": (accepting_and_computing, "/s"),
    "one idle POST to its result, p50": (waiting, "ms"),
}


def run(bench: Bench) -> Figures:
    """Each figure over the rounds, ours and the reference's, and the rounds' ratios."""
    sizes = Sizes(quick=bench.options.quick)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in MEASURES}
    with everything(bench.site) as (ours, stock):
        for number in range(bench.options.rounds):
            for name, (measure, _) in MEASURES.items():
                bench.begins(f"round {number + 1}: {name}")
                found[name].append(measure(ours, stock, sizes, bench.options.seconds))
    series = {}
    for name, pairs in found.items():
        mine, theirs = zip(*pairs, strict=True)
        ratio = statistics.median(ratios(mine, theirs))
        series[name] = {"unit": MEASURES[name][1], "ours": spread(mine), "reference": spread(theirs), "ratio": ratio}
    return {"series": series}


@contextlib.contextmanager
def everything(site: Site) -> Iterator[tuple[Ours, Stock]]:
    """Both designs on the same durable servers; each API on one core, the load on the other, the rest on both."""
    many = {"max_queued_per_owner": 10**7, "max_queued_jobs": 10**7}
    jobs, worker = site.settings.jobs.model_copy(update=many), site.settings.worker
    settings = site.settings.model_copy(
        update={"auth": "off", "jobs": jobs, "worker": worker.model_copy(update={"concurrency": 1})}
    )
    with contextlib.ExitStack() as stack:
        platform = stack.enter_context(Platform.running(settings))
        os.sched_setaffinity(platform.parts["api"].pid, SERVER)
        yield Ours(platform), Stock(site, stack)


def _load(server: Server, path: str, seconds: float, requests: int = 0) -> Figures:
    call = Call("job", path, BODY, expect=200 if path == "/noop" else 202)
    with pinned(LOAD):
        seen = measured(Plan(server.port, "", [call], CONNECTIONS, seconds, requests))
    if seen["failures"]:
        raise RuntimeError(f"{path}: {seen['failures']}")
    return seen


def _accepted_and_computed(server: Server, count: int, finished: Callable[[], int]) -> float:
    begun = time.perf_counter()
    _load(server, "/predict/async", 60, count)
    eventually(lambda: finished() >= count, 60, "all are computed")
    return finished() / (time.perf_counter() - begun)


def _seconds_until(condition: Callable[[], bool]) -> float:
    begun = time.perf_counter()
    eventually(condition, 120, "the backlog is drained")
    return time.perf_counter() - begun


def _wait_for_ours(ours: Ours) -> float:
    begun = time.perf_counter()
    assert ours.platform.job(ours.platform.accept(), wait=10)["status"] == "succeeded"
    return time.perf_counter() - begun


def _wait_for_stock(client: httpx.Client) -> float:
    begun = time.perf_counter()
    task = client.post("/predict/async", json=SAMPLE).json()["task_id"]
    while client.get(f"/result/{task}").json()["status"] != "SUCCESS":
        assert time.perf_counter() - begun < 30
    return time.perf_counter() - begun


def write(figures: Figures) -> dict[str, Any]:
    """Ours beside the reference."""
    rows = [
        [name, *(_precise(each[whose], each["unit"]) for whose in ("ours", "reference")), f"{each['ratio']:.2f}"]
        for name, each in figures["series"].items()
    ]
    return {"table": table("What | this platform | reference | ratio", rows)}


def _precise(value: dict[str, float], unit: str) -> str:
    return f"{value['median']:,.2f} ({value['low']:,.2f} to {value['high']:,.2f}) {unit}"


SCENARIO = Scenario("jobs", "Durable jobs, measured", run, write, "jobs", servers=DURABLE, seconds=3)
