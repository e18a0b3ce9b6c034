"""What processes say of the versions that they serve: written by each, read by whoever publishes or looks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ai_platform.storage.postgres import BoundedConnection, translated

# A process writes once a second; one that has not for this long is stopped, cut off or gone.
SILENT = timedelta(seconds=6)
_FORGOTTEN = timedelta(hours=1)
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Served:
    """One version in one process.

    Attributes:
        process: the process' name.
        kind: `api` or `worker`.
        model: the model's name.
        version: its number.
        state: `loading`, `loaded` or `failed`.
        why: why it failed, or why its last call did.
        failures: loads that failed since the last one that did not.
        failed_calls: calls that failed since it was loaded.
        next_try_at: when it is loaded again.
    """

    process: str
    kind: str
    model: str
    version: int
    state: str
    why: str | None
    failures: int
    failed_calls: int
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """What a process writes of one version.

    Attributes:
        model: the model's name.
        version: its number.
        state: `loading`, `loaded` or `failed`.
        why: why it failed, or why its last call did.
        failures: loads that failed since the last one that did not.
        failed_calls: calls that failed since it was loaded.
        retry_seconds: until it is loaded again; None for no set time.
    """

    model: str
    version: int
    state: str
    why: str | None
    failures: int
    failed_calls: int
    retry_seconds: float | None


def moment(connection: BoundedConnection) -> datetime:
    """PostgreSQL's clock now: whatever was committed before, a later statement sees.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    found: datetime = row["now"]
    return found


def write(
    connection: BoundedConnection,
    process: str,
    kind: str,
    *,
    looked_at: datetime | None,
    changed: Sequence[Row],
    gone: Sequence[tuple[str, int]],
) -> bool:
    """Write what has changed in one process since it wrote last.

    Args:
        connection: to PostgreSQL.
        process: the process' name.
        kind: `api` or `worker`.
        looked_at: the moment of the look at the aliases that it has acted on; None for none since it wrote last.
        changed: versions in another condition than before.
        gone: versions that it holds no more.

    Returns:
        Whether nothing was there of what it wrote before (after a crash of PostgreSQL, for one).

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated(), connection.transaction():
        row = connection.execute(
            "INSERT INTO serving_processes AS mine (name, kind, looked_at) VALUES (%s, %s, %s) ON CONFLICT (name)"
            " DO UPDATE SET looked_at = coalesce(excluded.looked_at, mine.looked_at), written_at = now()"
            " RETURNING xmax = 0 AS is_new",
            (process, kind, looked_at),
        ).fetchone()
        if gone:
            connection.execute(
                "DELETE FROM serving_versions WHERE process = %s"
                " AND (model, version) IN (SELECT * FROM unnest(%s::text[], %s::int[]))",
                (process, [model for model, _ in gone], [version for _, version in gone]),
            )
        if changed:
            connection.execute(
                "INSERT INTO serving_versions"
                " (process, model, version, state, why, failures, failed_calls, next_try_at)"
                " SELECT %s, model, version, state, why, failures, calls, now() + retry * interval '1 second'"
                " FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::int[], %s::int[], %s::float[])"
                " AS t (model, version, state, why, failures, calls, retry)"
                " ON CONFLICT (process, model, version) DO UPDATE SET state = excluded.state, why = excluded.why,"
                " failures = excluded.failures, failed_calls = excluded.failed_calls,"
                " next_try_at = excluded.next_try_at, changed_at = now()",
                (process, *_columns(changed)),
            )
    return row is not None and bool(row["is_new"])


def begin(connection: BoundedConnection) -> None:
    """Forget the processes that are long gone. Called by each when it begins.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        connection.execute("DELETE FROM serving_processes WHERE written_at < now() - %s", (_FORGOTTEN,))


def withdraw(connection: BoundedConnection, process: str) -> None:
    """Forget a process that ends.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        connection.execute("DELETE FROM serving_processes WHERE name = %s", (process,))


def of_model(connection: BoundedConnection, model: str) -> list[Served]:
    """How the versions of a model do in the processes that run now.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        rows = connection.execute(
            "SELECT process, kind, model, version, state, why, failures, failed_calls, next_try_at"
            " FROM serving_versions JOIN serving_processes ON name = process"
            " WHERE model = %s AND written_at > now() - %s ORDER BY version, kind, process",
            (model, SILENT),
        ).fetchall()
    return [Served(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of waiting for the processes that answer.

    Attributes:
        processes: API processes that run.
        behind: those of them that have not acted on the change.
        failures: why versions failed, one sentence a version, where one did.
    """

    processes: int
    behind: int
    failures: tuple[str, ...]

    @property
    def answers(self) -> bool:
        """Whether every API process that runs answers as was asked; also when none runs."""
        return not self.behind and not self.failures


def wait(
    connection: BoundedConnection,
    model: str,
    versions: Sequence[int],
    seconds: float,
    tick: Callable[[], None] = lambda: None,
) -> Waited:
    """Wait until every API process that runs has acted on a change of a model's aliases that is committed already.

    Args:
        connection: to PostgreSQL.
        model: the model's name.
        versions: what the alias names now.
        seconds: longest wait.
        tick: called between two looks.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    since = moment(connection)
    until = time.monotonic() + seconds
    while True:
        found = _waited(connection, model, list(versions), since)
        if not found.behind or time.monotonic() >= until:
            return found
        tick()
        time.sleep(_LOOK_SECONDS)


def _waited(connection: BoundedConnection, model: str, versions: list[int], since: datetime) -> Waited:
    with translated():
        row = connection.execute(
            """
            WITH running AS (
                SELECT name, coalesce(looked_at >= %(since)s, false) AS looked FROM serving_processes
                WHERE kind = 'api' AND written_at > now() - %(silent)s
            ), counted AS (
                SELECT running.name, running.looked,
                    count(*) FILTER (WHERE served.state IN ('loaded', 'failed')) AS settled
                FROM running LEFT JOIN serving_versions served ON served.process = running.name
                    AND served.model = %(model)s AND served.version = ANY(%(versions)s)
                GROUP BY running.name, running.looked
            )
            SELECT count(*) AS processes,
                count(*) FILTER (WHERE NOT looked OR settled < cardinality(%(versions)s)) AS behind,
                coalesce((
                    SELECT array_agg(DISTINCT 'version ' || served.version || ': ' || served.why)
                    FROM serving_versions served JOIN running ON running.name = served.process
                    WHERE served.model = %(model)s AND served.version = ANY(%(versions)s) AND served.state = 'failed'
                ), '{}') AS failures
            FROM counted
            """,
            {"since": since, "silent": SILENT, "model": model, "versions": versions},
        ).fetchone()
    assert row is not None
    return Waited(row["processes"], row["behind"], tuple(why for why in row["failures"] if why))


def _columns(rows: Sequence[Row]) -> list[list[object]]:
    return [
        [getattr(row, column) for row in rows]
        for column in ("model", "version", "state", "why", "failures", "failed_calls", "retry_seconds")
    ]
