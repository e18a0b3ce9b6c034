"""What a job costs, part by part, and what each part cannot cost less than.

Each part is run by itself, on real servers that commit synchronously, with the same statements and functions that the
platform uses. Figures are medians, in microseconds a job.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import redis
import uvloop

from ai_platform.jobs import statements
from ai_platform.jobs.computing import Claimed, compute
from ai_platform.jobs.notifier import celery_app, notify
from ai_platform.predictions.catalog.versions import VersionSource
from ai_platform.predictions.ids import new_id
from ai_platform.settings import Settings
from ai_platform.storage.postgres import BoundedConnection, Database
from ai_platform.storage.redis import Redis
from benchmarks.harness import models
from benchmarks.harness.figures import parts_table
from benchmarks.harness.scenario import DURABLE, Bench, Figures, Scenario

BODY = models.BODY.encode()
RESULT = json.dumps({"prediction": 0, "label": "setosa", "probabilities": [0.98, 0.02, 0.0], "id": "x" * 36})
RUNS, WARM = 15, 2
MANY = 1_000
# Name, our microseconds, the limit's, and what the limit is.
Part = tuple[str, float, float | None, str]


class Parts:
    """Connections, a model, and how often each part is run."""

    def __init__(self, settings: Settings, connection: BoundedConnection, runs: int) -> None:
        self.settings, self.connection, self.runs = settings, connection, runs
        self.source = VersionSource.of(settings, "bench")
        self.prepared = self.source.pool.get(("iris", 1))
        connection.execute("CREATE TABLE IF NOT EXISTS bare_rows (id uuid PRIMARY KEY, state text, input text)")

    def micros(self, run: Callable[[], Any], jobs: int, prepare: Callable[[], Any] = lambda: None) -> float:
        """Median microseconds a job of a run that works on that many."""
        times = []
        for _ in range(self.runs + WARM):
            prepare()
            begun = time.perf_counter()
            run()
            times.append((time.perf_counter() - begun) / jobs * 1e6)
        return round(statistics.median(times[WARM:]), 1)

    def accept(self, count: int) -> None:
        text = self.prepared.decoder.decode(BODY).encode().decode()
        self.connection.execute(
            statements.ACCEPT,
            {
                "ids": [new_id() for _ in range(count)], "owners": ["anonymous"] * count, "models": ["iris"] * count,
                "versions": [1] * count, "inputs": [text] * count, "keys": [None] * count, "hashes": [b"h"] * count,
                "hard_limits": [60.0] * count, "lifetimes": [None] * count, "retries_of": [None] * count,
                "key_lifetime": timedelta(hours=24), "max_attempts": 5,
            },
        )  # fmt: skip

    def claim(self, limit: int) -> list[dict[str, Any]]:
        values = {"worker": "bench", "host": "h", "pid": 1, "process_started": 0.0, "limit": limit}
        return self.connection.execute(statements.CLAIM_OLDEST, values).fetchall()

    def finish(self, rows: list[dict[str, Any]]) -> None:
        count = len(rows)
        self.connection.execute(
            statements.FINISH,
            {
                "ids": [row["id"] for row in rows], "attempts": [row["attempt"] for row in rows],
                "states": ["succeeded"] * count, "results": [RESULT] * count, "codes": [None] * count,
                "details": [None] * count,
            },
        )  # fmt: skip

    def insert_bare(self, count: int) -> None:
        statement = "INSERT INTO bare_rows SELECT id, 'queued', 'x' FROM unnest(%s::uuid[]) AS t (id)"
        self.connection.execute(statement, ([new_id() for _ in range(count)],))

    def update_bare(self, count: int) -> None:
        statement = "UPDATE bare_rows SET state = 'other' WHERE id IN (SELECT id FROM bare_rows LIMIT %s)"
        self.connection.execute(statement, (count,))

    def clear(self) -> None:
        self.connection.execute("TRUNCATE jobs, bare_rows")


def run(bench: Bench) -> Figures:
    """Microseconds of each part and of its limit."""
    settings = bench.site.settings.model_copy(update={"auth": "off"})
    runs = 1 if bench.options.quick else RUNS
    with Database.of(settings).connect("bench") as connection:
        parts = Parts(settings, connection, runs)
        found = []
        for measure in (http_parts, database_parts, notifying_parts, compute_parts):
            for name, us, limit_us, limit in measure(parts):
                bench.begins(name)
                found.append({"name": name, "us": us, "limit_us": limit_us, "limit": limit})
        parts.clear()
        parts.source.close()
    return {"runs": runs, "parts": found}


def http_parts(parts: Parts) -> Iterator[Part]:
    decoder = parts.prepared.decoder
    instances = decoder.decode(BODY)

    def many(run: Callable[[], Any]) -> float:
        return parts.micros(lambda: [run() for _ in range(MANY)], MANY)

    async def turns() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(MANY):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    yield ("decode and check the body", many(lambda: decoder.decode(BODY)), many(lambda: orjson.loads(BODY)),
           "orjson alone, unchecked")  # fmt: skip
    yield "write the canonical input", many(instances.encode), None, "the same: one orjson call"
    yield "make an id", many(new_id), many(lambda: os.urandom(10)), "ten random bytes"
    turn = parts.micros(lambda: uvloop.run(turns()), MANY)
    yield "a future, and the loop's turn", turn, None, "the same: what asyncio costs"


def database_parts(parts: Parts) -> Iterator[Part]:
    for count in (1, 16, 64, 256):
        ours = parts.micros(partial(parts.accept, count), count, parts.clear)
        bare = parts.micros(partial(parts.insert_bare, count), count, parts.clear)
        yield f"INSERT and COMMIT, {count} together", ours, bare, "a bare table of three columns"
    for count in (1, 64, 256):
        yield from _worker_parts(parts, count)


def _worker_parts(parts: Parts, count: int) -> Iterator[Part]:
    held: list[dict[str, Any]] = []

    def accepted() -> None:
        parts.clear()
        parts.accept(count)

    def bare() -> None:
        parts.clear()
        parts.insert_bare(count)

    def claimed() -> None:
        accepted()
        held[:] = parts.claim(count)

    limit = parts.micros(lambda: parts.update_bare(count), count, bare)
    what = "UPDATE of a bare table"
    yield f"claim, {count} together", parts.micros(lambda: parts.claim(count), count, accepted), limit, what
    yield f"finish, {count} together", parts.micros(lambda: parts.finish(held), count, claimed), limit, what


def notifying_parts(parts: Parts) -> Iterator[Part]:
    app = celery_app(Redis.of(parts.settings))
    client = redis.Redis.from_url(parts.settings.redis_dsn)
    ids = [str(new_id()) for _ in range(64)]
    push = parts.micros(lambda: client.lpush("bench", b"x" * 3_000), 1)
    yield "notify of 1", parts.micros(lambda: notify(app, ids[:1]), 1), push, "LPUSH of as many bytes"
    yield "notify of 64", parts.micros(lambda: notify(app, ids), 64), round(push / 64, 1), "the same, shared"
    client.close()


def compute_parts(parts: Parts) -> Iterator[Part]:
    instances = parts.prepared.decoder.decode(BODY)
    predict = parts.prepared.served.loaded.predict
    for count in (1, 64, 256):
        group = [Claimed(new_id(), "iris", 1, instances, 1) for _ in range(count)]
        matrix = [instances.rows[0]] * count
        ours = parts.micros(partial(compute, parts.prepared, group, lambda: None), count)
        alone = parts.micros(partial(predict, matrix), count)
        yield f"compute and encode, {count} together", ours, alone, "the model's call alone"


def write(figures: Figures) -> dict[str, Any]:
    """Part by part."""
    return {"table": parts_table("Part | µs a job | Limit, µs | What it cannot cost less than", figures["parts"])}


SCENARIO = Scenario("job-cost", "What a job costs", run, write, "job-cost", servers=DURABLE, rounds=1, wrk=False)
