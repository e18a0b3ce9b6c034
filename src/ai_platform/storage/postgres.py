"""Connections to PostgreSQL in which no wait is endless, for both colours."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from ai_platform.errors import StorageUnavailable
from ai_platform.settings import DatabaseSettings, Settings

Result = TypeVar("Result")

# Half a statement's time limit more than the server's own, so that the server gets to say it first when it is able to.
GRACE_SECONDS = 0.5
# psycopg_pool doubles its pause between attempts for this long, then waits to be asked again: so the pauses stay short.
RECONNECT_SECONDS = 3.0


class BoundedConnection(psycopg.Connection[DictRow]):
    """A connection that closes itself when the server gives no answer within `time_limit` seconds.

    PostgreSQL's own `statement_timeout` cannot fire in a server that is stopped or behind a dead network.
    """

    time_limit = 5.5

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """Run psycopg's generator to its end, or close the connection at the limit.

        Raises:
            psycopg.OperationalError: no answer in time, or the connection broke.
        """
        try:
            return super().wait(gen, interval, self.time_limit if timeout is None else timeout)
        except psycopg.OperationalError:
            self._close_when_unanswered()
            raise

    def _close_when_unanswered(self) -> None:
        if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            self.pgconn.finish()


class AsyncBoundedConnection(psycopg.AsyncConnection[DictRow]):
    """The same for requests that wait beside many others; one that is cancelled closes at once.

    psycopg would ask the server to cancel, and wait up to ten seconds for a server that may be stopped.
    """

    time_limit = 5.5

    async def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:  # noqa: ASYNC109  # psycopg's own signature
        """Run psycopg's generator to its end, or close the connection at the limit or when cancelled.

        Raises:
            psycopg.OperationalError: no answer in time, or the connection broke.
        """
        limit = self.time_limit if timeout is None else timeout
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=limit)
        except (psycopg.OperationalError, asyncio.CancelledError):
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


class _OpenedWhenUsed(ConnectionPool[BoundedConnection]):
    """A pool that starts its threads with the first connection that is asked of it, and not where it is made."""

    def getconn(self, timeout: float | None = None) -> BoundedConnection:
        self.open()
        return super().getconn(timeout)


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL, of which every connection and pool is asked; made of the settings once.

    The `name` of each is shown in `pg_stat_activity` (`aip-api`).

    Attributes:
        url: with its password.
        limits: how long it is waited for, and how many connections an API process has.
    """

    url: str = field(repr=False)
    limits: DatabaseSettings

    @classmethod
    def of(cls, settings: Settings) -> "Database":
        """The one that the settings name.

        Raises:
            InvalidSettings: they name none.
        """
        return cls(settings.database_dsn, settings.database)

    def connect(self, name: str) -> BoundedConnection:
        """One connection, for commands that do one thing.

        Raises:
            StorageUnavailable: PostgreSQL cannot be reached.
        """
        with translated():
            connection = BoundedConnection.connect(self.url, **self._arguments(name))
        connection.time_limit = self._time_limit
        return connection

    def pool(self, name: str, size: int = 1) -> ConnectionPool[BoundedConnection]:
        """A pool for threads of plain code; it connects at its first use, and anew when it is asked after a failure."""
        return _OpenedWhenUsed(
            self.url,
            connection_class=type("BoundedConnection", (BoundedConnection,), {"time_limit": self._time_limit}),
            kwargs=self._arguments(name),
            min_size=1,
            max_size=size,
            timeout=self.limits.connect_seconds,
            reconnect_timeout=RECONNECT_SECONDS,
            num_workers=1,
            open=False,
            name=name,
        )

    def async_pool(self, name: str) -> AsyncConnectionPool[AsyncBoundedConnection]:
        """A pool for an API process, not yet open; `max_waiting` bounds its queue."""
        return AsyncConnectionPool(
            self.url,
            connection_class=type(
                "AsyncBoundedConnection", (AsyncBoundedConnection,), {"time_limit": self._time_limit}
            ),
            kwargs=self._arguments(name),
            min_size=min(2, self.limits.pool_size),
            max_size=self.limits.pool_size,
            timeout=self.limits.connect_seconds,
            max_waiting=256,
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
            name=name,
        )

    @property
    def _time_limit(self) -> float:
        return self.limits.statement_seconds + GRACE_SECONDS

    def _arguments(self, name: str) -> dict[str, Any]:
        """What every connection is opened with: limits on both sides, autocommit, rows as dicts."""
        limit_ms = int(self.limits.statement_seconds * 1000)
        return {
            "autocommit": True,
            "row_factory": dict_row,
            "connect_timeout": self.limits.connect_seconds,
            "application_name": f"aip-{name}",
            "options": f"-c statement_timeout={limit_ms} -c lock_timeout={min(limit_ms, 2000)}"
            " -c idle_in_transaction_session_timeout=10000",
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": limit_ms,
        }


@contextmanager
def translated() -> Iterator[None]:
    """Turn "PostgreSQL is away" in whatever form psycopg says it into `StorageUnavailable`.

    Raises:
        StorageUnavailable: the statement's outcome is unknown or it was not run.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        raise StorageUnavailable("the database did not answer in time") from error
