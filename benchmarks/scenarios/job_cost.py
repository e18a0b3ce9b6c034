"""What a job costs, part by part, and what each part cannot cost less than: `python benchmarks/scenarios/job_cost.py`.

Each part is run by itself, on real servers that commit synchronously, with the same statements and functions that the
platform uses. Figures are medians of 15 runs, in microseconds a job. Writes the table to docs/benchmarks/job-cost.md.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import redis
from rich.console import Console

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from ai_platform import settings as configuration  # noqa: E402
from ai_platform.jobs import statements  # noqa: E402
from ai_platform.jobs.computing import Claimed, compute  # noqa: E402
from ai_platform.jobs.doorbell import celery_app, ring  # noqa: E402
from ai_platform.local.servers import running_servers  # noqa: E402
from ai_platform.predictions.identity import new_id  # noqa: E402
from ai_platform.predictions.versions import VersionSource  # noqa: E402
from ai_platform.settings import Settings  # noqa: E402
from ai_platform.storage import postgres  # noqa: E402
from ai_platform.storage.postgres import BoundedConnection  # noqa: E402
from ai_platform.storage.schema import migrate  # noqa: E402
from harness import publish_iris, train_iris  # noqa: E402

BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
RUNS = 15
Rows = list[tuple[str, str, str]]


def micros(run: Callable[[], Any], jobs: int, *, prepare: Callable[[], Any] = lambda: None) -> float:
    """Median microseconds a job of a run that handles that many."""
    times = []
    for _ in range(RUNS + 2):
        prepare()
        begun = time.perf_counter()
        run()
        times.append((time.perf_counter() - begun) / jobs * 1e6)
    return statistics.median(times[2:])


class Bench:
    """Connections and a model."""

    def __init__(self, settings: Settings, connection: BoundedConnection) -> None:
        self.settings = settings
        self.connection = connection
        self.source = VersionSource(settings, "bench")
        self.prepared = self.source.pool.get(("iris", 1))
        connection.execute("CREATE TABLE floor_rows (id uuid PRIMARY KEY, state text, input text)")

    def accept(self, count: int) -> list[Any]:
        ids = [new_id() for _ in range(count)]
        text = self.prepared.decoder.decode(BODY).encode().decode()
        self.connection.execute(
            statements.ACCEPT,
            {
                "ids": ids, "owners": ["anonymous"] * count, "models": ["iris"] * count, "versions": [1] * count,
                "inputs": [text] * count, "keys": [None] * count, "hashes": [b"h"] * count,
                "hard_limits": [60.0] * count, "lifetimes": [None] * count, "retries_of": [None] * count,
                "key_lifetime": timedelta(hours=24), "max_attempts": 5,
            },
        )  # fmt: skip
        return ids

    def insert_bare(self, count: int) -> None:
        self.connection.execute(
            "INSERT INTO floor_rows SELECT id, 'queued', 'x' FROM unnest(%s::uuid[]) AS t (id)",
            ([new_id() for _ in range(count)],),
        )

    def claim(self, limit: int) -> list[dict[str, Any]]:
        return self.connection.execute(
            statements.CLAIM_OLDEST,
            {"worker": "bench", "host": "h", "pid": 1, "process_started": 0.0, "limit": limit},
        ).fetchall()

    def finish(self, rows: list[dict[str, Any]], result: str) -> None:
        count = len(rows)
        self.connection.execute(
            statements.FINISH,
            {
                "ids": [row["id"] for row in rows], "attempts": [row["attempt"] for row in rows],
                "states": ["succeeded"] * count, "results": [result] * count, "codes": [None] * count,
                "details": [None] * count,
            },
        )  # fmt: skip

    def update_bare(self, count: int) -> None:
        self.connection.execute(
            "UPDATE floor_rows SET state = 'other' WHERE id IN (SELECT id FROM floor_rows LIMIT %s)", (count,)
        )

    def clear(self) -> None:
        self.connection.execute("TRUNCATE jobs, floor_rows")


def http_parts(bench: Bench) -> Rows:
    decoder = bench.prepared.decoder
    instances = decoder.decode(BODY)

    def many(run: Callable[[], Any]) -> float:
        return micros(lambda: [run() for _ in range(1_000)], 1_000)

    return [
        ("decode and check the body", f"{many(lambda: decoder.decode(BODY)):.1f}",
         f"{many(lambda: orjson.loads(BODY)):.1f}: orjson alone, unchecked"),
        ("write the canonical input", f"{many(instances.encode):.1f}", "the same: one orjson call"),
        ("make an id", f"{many(new_id):.1f}", f"{many(lambda: __import__('os').urandom(10)):.1f}: ten random bytes"),
        ("a future, and the loop's turn", f"{_turns():.1f}", "the same: what asyncio costs"),
    ]  # fmt: skip


def _turns() -> float:
    async def turn() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(1_000):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    import uvloop

    return micros(lambda: uvloop.run(turn()), 1_000)


def database_parts(bench: Bench) -> Rows:
    rows: Rows = []
    for count in (1, 16, 64, 256):
        ours = micros(lambda count=count: bench.accept(count), count, prepare=bench.clear)  # type: ignore[misc]
        floor = micros(lambda count=count: bench.insert_bare(count), count, prepare=bench.clear)  # type: ignore[misc]
        rows.append(
            (f"INSERT and COMMIT, {count} together", f"{ours:.1f}", f"{floor:.1f}: a bare table of three columns")
        )
    for count in (1, 64, 256):
        rows += _worker_rows(bench, count)
    return rows


def _worker_rows(bench: Bench, count: int) -> Rows:
    def filled() -> None:
        bench.clear()
        bench.accept(count)

    def bare() -> None:
        bench.clear()
        bench.insert_bare(count)

    claim = micros(lambda: bench.claim(count), count, prepare=filled)
    update = micros(lambda: bench.update_bare(count), count, prepare=bare)
    held: list[dict[str, Any]] = []

    def claimed() -> None:
        filled()
        held[:] = bench.claim(count)

    result = json.dumps({"prediction": 0, "label": "setosa", "probabilities": [0.98, 0.02, 0.0], "id": "x" * 36})
    finish = micros(lambda: bench.finish(held, result), count, prepare=claimed)
    floor = f"{update:.1f}: UPDATE of a bare table"
    return [
        (f"claim, {count} together", f"{claim:.1f}", floor),
        (f"finish, {count} together", f"{finish:.1f}", floor),
    ]


def compute_parts(bench: Bench) -> Rows:
    rows: Rows = []
    for count in (1, 64, 256):
        instances = bench.prepared.decoder.decode(BODY)
        group = [Claimed(new_id(), "iris", 1, instances, 1) for _ in range(count)]
        ours = micros(lambda group=group: compute(bench.prepared, group, lambda: None), count)  # type: ignore[misc]
        matrix = [instances.rows[0]] * count
        floor = micros(lambda matrix=matrix: bench.prepared.served.loaded.predict(matrix), count)  # type: ignore[misc]
        rows.append((f"compute and encode, {count} together", f"{ours:.1f}", f"{floor:.1f}: the model's call alone"))
    return rows


def bell_parts(bench: Bench) -> Rows:
    app = celery_app(bench.settings, for_publishing=True)
    client = redis.Redis.from_url(bench.settings.redis_dsn)
    ids = [str(new_id()) for _ in range(64)]
    one = micros(lambda: ring(app, ids[:1]), 1)
    many = micros(lambda: ring(app, ids), 64)
    push = micros(lambda: client.lpush("bench", b"x" * 3_000), 1)
    return [
        ("ring for 1", f"{one:.1f}", f"{push:.1f}: LPUSH of as many bytes"),
        ("ring for 64", f"{many:.1f}", f"{push / 64:.1f}: the same, shared"),
    ]


def table(rows: Rows) -> str:
    lines = ["| part | µs a job | cannot be less than |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {part} | {cost} | {floor} |" for part, cost, floor in rows])


def main() -> None:
    with tempfile.TemporaryDirectory() as name, running_servers(durable=True) as servers:
        folder = Path(name)
        iris = train_iris(folder / "iris")
        settings = configuration.load(
            auth="off", database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=folder
        )
        models = settings.models.model_copy(update={"trusted_keys_dir": iris.keys})
        settings = settings.model_copy(update={"models": models})
        migrate(settings)
        publish_iris(settings, iris)
        with postgres.connect(settings, "bench") as connection:
            bench = Bench(settings, connection)
            rows = http_parts(bench) + database_parts(bench) + bell_parts(bench) + compute_parts(bench)
            bench.source.close()
    text = (
        "# What a job costs\n\nWritten by `make bench-job-cost`: each part by itself, medians of 15 runs; commits are"
        f" synchronous.\n\n{table(rows)}\n\n{datetime.now(UTC):%Y-%m-%d}, one connection, one process, two cores.\n"
    )
    Console().print(text, markup=False)
    (ROOT / "docs" / "benchmarks" / "job-cost.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
