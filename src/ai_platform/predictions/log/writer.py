"""Writes the prediction log from a thread of its own: one COPY about once a second, each row once or not at all.

A COPY is all or nothing. One whose outcome nobody told is repeated with the very same rows: if it had been committed,
the ids stand there already, and PostgreSQL refuses the repetition, which then says that everything is written.
"""

import time
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool

from ai_platform.errors import PlatformError
from ai_platform.predictions.log.buffer import Buffer, LogRecord
from ai_platform.processes.background import ThreadLoop
from ai_platform.settings import PredictionLogSettings
from ai_platform.storage.postgres import BoundedConnection, Database
from ai_platform.telemetry import PREDICTION_LOG_DROPPED, PREDICTION_LOG_WRITTEN, logger

log = logger(__name__)

WRITE_SECONDS = 1.0
STOP_SECONDS = 2.0
# What one COPY carries, so that a slow network brings it through within the time limit of a statement.
BATCH_ROWS = 1_000
BATCH_BYTES = 1_000_000
# After so many rows, or bytes, the thread sleeps: whoever holds the GIL holds up the event loop.
PAUSE_ROWS = 32
PAUSE_BYTES = 16_384
PAUSE_SECONDS = 0.0005

COPY = """
COPY prediction_log (id, at, model, version, owner, key_id, request_id, rows, seconds, cache, code, sample, input, output)
FROM STDIN
"""  # noqa: E501
# Classes of SQLSTATE after which the same rows may be written later: connection, read-only, rollback, resources, locks,
# shutdown. With any other error they would be refused again.
_PASSING = frozenset({"08", "25", "40", "53", "55", "57"})

Row = tuple[Any, ...]


class LogWriter:
    """Takes rows from a buffer and writes them, for as long as it is not stopped.

    Args:
        database: where they are written.
        wanted: the share, and the most rows a second.
        name: of the process, for `pg_stat_activity`.
        buffer: what is noted.
    """

    def __init__(self, database: Database, wanted: PredictionLogSettings, name: str, buffer: Buffer) -> None:
        self._database = database
        self._name = f"{name}-predictions"
        self._sample = wanted.sample
        self._rows_a_round = max(1, int(wanted.rows_per_second * WRITE_SECONDS))
        self._buffer = buffer
        self._batch: list[Row] = []
        self._tried = False
        self._pool: ConnectionPool[BoundedConnection] | None = None
        self._loop = ThreadLoop(
            "prediction-log",
            self._round,
            failure="prediction log not written",
            pause=WRITE_SECONDS,
            last=self._write_the_rest,
        )

    def start(self) -> None:
        """Begin to write; PostgreSQL need not be there, and is not asked before something is noted."""
        self._loop.start()

    def stop(self) -> None:
        """Write what is left, within `STOP_SECONDS`."""
        self._loop.stop(STOP_SECONDS)
        left = len(self._buffer) + len(self._batch)
        if left:
            PREDICTION_LOG_DROPPED.labels("stopped").inc(left)
            log.warning("predictions noted and not written, because this process ends", predictions=left)
        if self._pool is not None:
            self._pool.close(timeout=1)

    def write(self, most: int = BATCH_ROWS) -> int:
        """Write the batch whose outcome is open, or else what waits.

        Args:
            most: most rows of a new batch, up to `BATCH_ROWS`.

        Returns:
            How many rows stand in the log now that did not, for all that was known.

        Raises:
            psycopg.Error: it is not written; where that may pass, the same rows are tried again by the next call.
        """
        if not self._batch:
            self._batch, self._tried = self._gather(min(most, BATCH_ROWS)), False
        if not self._batch:
            return 0
        try:
            self._copy(self._batch)
        except errors.UniqueViolation:
            if not self._tried:
                self._drop_batch()
                raise
            # The COPY that was tried before had been committed.
        except Exception as error:
            self._tried = True
            if not _may_pass(error):
                self._drop_batch()
            raise
        written, self._batch = len(self._batch), []
        PREDICTION_LOG_WRITTEN.inc(written)
        return written

    def _round(self) -> float:
        begun = time.monotonic()
        left = self._rows_a_round
        while left > 0 and not self._loop.stopping.is_set() and (written := self.write(left)):
            left -= written
        return WRITE_SECONDS - (time.monotonic() - begun)

    def _write_the_rest(self) -> None:
        while self.write():
            pass

    def _drop_batch(self) -> None:
        PREDICTION_LOG_DROPPED.labels("refused").inc(len(self._batch))
        self._batch = []

    def _gather(self, most: int) -> list[Row]:
        rows: list[Row] = []
        size = 0
        pause = _Pause()
        while len(rows) < most and size < BATCH_BYTES and (noted := self._buffer.take()) is not None:
            rows.append(self._row(noted))
            size += noted.size
            pause.after(noted.size)
        return rows

    def _row(self, noted: LogRecord) -> Row:
        at = datetime.fromtimestamp((noted.id.int >> 80) / 1000, UTC)
        output = None if noted.output is None else noted.output.decode()
        return (
            noted.id, at, noted.model, noted.version, noted.owner, noted.key_id, noted.request_id, noted.rows,
            noted.seconds, noted.cache, noted.code, self._sample, _input(noted), output,
        )  # fmt: skip

    def _copy(self, batch: list[Row]) -> None:
        if self._pool is None:
            self._pool = self._database.pool(self._name)
        pause = _Pause()
        with self._pool.connection() as connection, connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in batch:
                copy.write_row(row)
                pause.after(len(row[-1] or "") + len(row[-2] or ""))


class _Pause:
    def __init__(self) -> None:
        self._rows = self._bytes = 0

    def after(self, size: int) -> None:
        self._rows += 1
        self._bytes += size
        if self._rows >= PAUSE_ROWS or self._bytes >= PAUSE_BYTES:
            self._rows = self._bytes = 0
            time.sleep(PAUSE_SECONDS)


def _input(noted: LogRecord) -> str | None:
    """The instances in canonical JSON, as jobs keep them."""
    if noted.body is None:
        return None
    try:
        return noted.decoder.decode(noted.body).encode().decode()
    except PlatformError:  # it was read once, so this cannot be; and one row must not cost the others
        return None


def _may_pass(error: Exception) -> bool:
    return isinstance(error, psycopg.Error) and (
        (isinstance(error, psycopg.OperationalError) and error.sqlstate is None)
        or (error.sqlstate or "")[:2] in _PASSING
    )  # fmt: skip
