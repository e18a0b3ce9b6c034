"""Durable jobs beside the stock design, in one run and interleaved: `python benchmarks/scenarios/jobs.py [--rounds 5]`.

Measured: accepting over HTTP with the workers stopped, against a FastAPI route that checks the same body and does
nothing; draining a backlog with one worker process; both together over HTTP; and one idle POST-to-result. PostgreSQL
commits synchronously (`fsync` and `synchronous_commit` on). Quote the ratios: they come from rounds taken in turn.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from ai_platform import settings as configuration  # noqa: E402
from ai_platform.local.servers import Servers, running_servers  # noqa: E402
from ai_platform.settings import Settings  # noqa: E402
from ai_platform.storage.schema import migrate  # noqa: E402
from benchmarks.harness import machine  # noqa: E402
from harness import SAMPLE, Platform, eventually, free_port, publish_iris, train_iris  # noqa: E402

BACKLOG = 50_000
STOCK_BACKLOG = 400
END_TO_END = 4_000
STOCK_END_TO_END = 250
IDLE = 60
SERVER_CORE, LOAD_CORE = {0}, {1}
console = Console()


@dataclass
class Series:
    """One figure over the rounds, ours and the reference's."""

    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.ours, self.reference, strict=True))

    def row(self) -> str:
        return (
            f"| {self.name} | {_spread(self.ours)} {self.unit} | {_spread(self.reference)} {self.unit} "
            f"| **{self.ratio:.2f}** |"
        )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.2f} ({min(values):,.2f} to {max(values):,.2f})"


class Stock:
    """The stock design's processes."""

    def __init__(self, servers: Servers, model: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = servers.postgres_url.rsplit("/", 1)[0] + "/stock"
        self.folder = folder
        self.env = {
            **os.environ,
            "BENCH_BROKER": servers.redis_url.rsplit("/", 1)[0] + "/5",
            "BENCH_BACKEND": "db+" + self.database.replace("postgresql://", "postgresql+psycopg://"),
            "BENCH_MODEL": str(model),
            "PYTHONPATH": str(ROOT / "benchmarks" / "harness"),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_api(self) -> None:
        self._start("api", [sys.executable, "-m", "uvicorn", "stock:app", "--port", str(self.port), "--no-access-log",
                            "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"])  # fmt: skip
        eventually(lambda: _answers(self.url + "/docs"), 30, "the stock API answers")

    def start_worker(self) -> None:
        self._start("worker", [sys.executable, "-m", "celery", "-q", "-A", "stock:celery", "worker", "-c", "1",
                               "--without-gossip", "--without-mingle", "-l", "warning", "-Q", "stock"])  # fmt: skip

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def finished(self) -> int:
        with psycopg.connect(self.database) as connection:
            row = connection.execute("SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'").fetchone()
            return int(row[0]) if row else 0

    def clear(self) -> None:
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("TRUNCATE celery_taskmeta")

    def publish(self, count: int) -> None:
        code = (
            "from stock import predict_task, celery\n"
            f"with celery.producer_pool.acquire(block=True) as p:\n"
            f"  for _ in range({count}): predict_task.apply_async(([5.1,3.5,1.4,0.2],), producer=p)\n"
        )
        subprocess.run([sys.executable, "-c", code], env=self.env, check=True, timeout=120)

    def _start(self, name: str, command: list[str]) -> None:
        log = (self.folder / f"stock-{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command, env=self.env, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORE) if name == "api" else None,
        )  # fmt: skip


def load(port: int, path: str, **options: Any) -> dict[str, float]:
    """Run the load generator on a core of its own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "load" / "by_count.py"), "127.0.0.1", str(port), path]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, timeout=300,
        preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORE),
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    assert not found["errors"], f"{path}: {found['errors']} requests were refused"
    return found


class Ours:
    """The platform under test, on the same servers."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.dsn = platform.settings.database_dsn

    def clear(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("TRUNCATE jobs, idempotency_keys")

    def finished(self) -> int:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT count(*) FROM jobs WHERE state = 'succeeded'").fetchone()
            return int(row[0]) if row else 0

    def fill(self, count: int) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO jobs (id, owner, model, version, input, max_attempts, hard_limit_seconds, rung_at)"
                " SELECT uuidv7(), 'anonymous', 'iris', 1, '{\"rows\":[[5.1,3.5,1.4,0.2]],\"single\":true}', 5, 60,"
                " to_timestamp(0) FROM generate_series(1, %s)",
                (count,),
            )
            connection.execute("ANALYZE jobs")

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


def timed_until(condition: Callable[[], bool], seconds: float) -> float:
    begun = time.perf_counter()
    eventually(condition, seconds, "the backlog is drained")
    return time.perf_counter() - begun


def accepting(ours: Ours, stock: Stock, series: Series) -> None:
    ours.without_worker()
    ours.clear()
    ours.platform.client.post("/predict/async", json=SAMPLE)
    found = load(ours.platform.port, "/predict/async", seconds=3)
    series.ours.append(found["requests"] / found["seconds"])
    reference = load(stock.port, "/noop", seconds=3)
    series.reference.append(reference["requests"] / reference["seconds"])


def draining(ours: Ours, stock: Stock, series: Series) -> None:
    ours.without_worker()
    ours.clear()
    ours.fill(BACKLOG)
    ours.with_worker()
    begun_with = ours.finished()
    series.ours.append((BACKLOG - begun_with) / timed_until(lambda: ours.finished() == BACKLOG, 120))
    ours.without_worker()
    stock.clear()
    stock.start_worker()
    stock.publish(20)
    eventually(lambda: stock.finished() == 20, 60, "the stock worker is warm")
    os.killpg(stock.processes["worker"].pid, signal.SIGSTOP)
    stock.publish(STOCK_BACKLOG)
    os.killpg(stock.processes["worker"].pid, signal.SIGCONT)
    series.reference.append(STOCK_BACKLOG / timed_until(lambda: stock.finished() == STOCK_BACKLOG + 20, 120))
    stock.stop("worker")


def end_to_end(ours: Ours, stock: Stock, series: Series) -> None:
    ours.clear()
    ours.with_worker()
    begun = time.perf_counter()
    load(ours.platform.port, "/predict/async", requests=END_TO_END, seconds=60)
    eventually(lambda: ours.finished() >= END_TO_END, 60, "all are computed")
    series.ours.append(ours.finished() / (time.perf_counter() - begun))
    ours.without_worker()
    stock.clear()
    stock.start_worker()
    stock.publish(20)
    eventually(lambda: stock.finished() == 20, 60, "the stock worker is warm")
    begun = time.perf_counter()
    load(stock.port, "/predict/async", requests=STOCK_END_TO_END, seconds=60)
    eventually(lambda: stock.finished() >= STOCK_END_TO_END + 20, 60, "all are computed")
    series.reference.append((stock.finished() - 20) / (time.perf_counter() - begun))
    stock.stop("worker")


def idle(ours: Ours, stock: Stock, series: Series) -> None:
    ours.clear()
    ours.with_worker()
    series.ours.append(statistics.median(_wait_for_ours(ours) for _ in range(IDLE)) * 1000)
    ours.without_worker()
    stock.clear()
    stock.start_worker()
    with httpx.Client(base_url=stock.url) as client:
        _wait_for_stock(client)
        series.reference.append(statistics.median(_wait_for_stock(client) for _ in range(IDLE)) * 1000)
    stock.stop("worker")


def _wait_for_ours(ours: Ours) -> float:
    client = ours.platform.client
    begun = time.perf_counter()
    url = client.post("/predict/async", json=SAMPLE).json()["url"]
    assert client.get(f"{url}?wait=10").json()["status"] == "succeeded"
    return time.perf_counter() - begun


def _wait_for_stock(client: httpx.Client) -> float:
    begun = time.perf_counter()
    task = client.post("/predict/async", json=SAMPLE).json()["task_id"]
    while client.get(f"/result/{task}").json()["status"] != "SUCCESS":
        assert time.perf_counter() - begun < 30
    return time.perf_counter() - begun


@contextlib.contextmanager
def everything(folder: Path) -> Iterator[tuple[Ours, Stock]]:
    """Both designs on the same durable servers; each API on one core, the load on the other."""
    with running_servers(durable=True) as servers:
        iris = train_iris(folder / "iris")
        settings = _settings(servers, folder)
        migrate(settings)
        models = settings.models.model_copy(update={"trusted_keys_dir": iris.keys})
        settings = settings.model_copy(update={"models": models})
        publish_iris(settings, iris)
        with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE stock")
        stock = Stock(servers, iris.files.artifact, folder)
        with Platform.running(settings) as platform:
            os.sched_setaffinity(platform.parts["api"].pid, SERVER_CORE)
            try:
                stock.start_api()
                stock.start_worker()
                stock.publish(1)
                eventually(lambda: _answers_table(stock), 60, "the stock worker has made its tables")
                stock.stop("worker")
                yield Ours(platform), stock
            finally:
                for name in list(stock.processes):
                    stock.stop(name)


def _settings(servers: Servers, folder: Path) -> Settings:
    settings = configuration.load(
        auth="off", database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=folder
    )
    bounds = settings.jobs.model_copy(update={"waiting_per_owner": 10**7, "waiting_in_all": 10**7})
    worker = settings.worker.model_copy(update={"concurrency": 1})
    return settings.model_copy(update={"jobs": bounds, "worker": worker})


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _answers_table(stock: Stock) -> bool:
    try:
        return stock.finished() >= 1
    except psycopg.errors.UndefinedTable:
        return False


def report(series: list[Series], rounds: int) -> str:
    return "\n".join(
        [
            "# Durable jobs, measured",
            "",
            "Written by `make bench-jobs`. The stock design is in `benchmarks/harness/stock.py`; how each figure is taken, in",
            "`benchmarks/scenarios/jobs.py`. PostgreSQL commits synchronously. Medians (lowest to highest) of",
            f"{rounds} rounds taken in turn; the ratio is the median of the rounds' ratios, which is what to compare.",
            "",
            "| what | this platform | reference | ratio |",
            "| --- | --- | --- | --- |",
            *(one.row() for one in series),
            "",
            (
                f"{datetime.now(UTC):%Y-%m-%d}, {machine.place()}, Python {platform.python_version()}, "
                "PostgreSQL 18, Valkey 9, API and load generator each on a core of its own, one worker process."
            ),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one of accept, drain, both, idle")
    options = parser.parse_args()
    parts: dict[str, tuple[Callable[[Ours, Stock, Series], None], Series]] = {
        "accept": (accepting, Series("accepting over HTTP, 64 connections, beside a route that only validates", "/s")),
        "drain": (draining, Series(f"draining a backlog of {BACKLOG:,} (stock: {STOCK_BACKLOG:,})", "/s")),
        "both": (end_to_end, Series("accepting and computing over HTTP, 64 connections", "/s")),
        "idle": (idle, Series("one idle POST to its result, p50", "ms")),
    }
    chosen = [part for name, part in parts.items() if options.only in {None, name}]
    with tempfile.TemporaryDirectory() as folder, everything(Path(folder)) as (ours, stock), Progress() as progress:
        task = progress.add_task("benchmark", total=options.rounds * len(chosen))
        for _ in range(options.rounds):
            for measure, series in chosen:
                progress.update(task, description=series.name[:50])
                measure(ours, stock, series)
                progress.advance(task)
    text = report([series for _, series in chosen], options.rounds)
    console.print(text, markup=False)
    if options.only is None:
        (ROOT / "docs" / "benchmarks" / "jobs.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
