"""How long the prediction log is kept: the sweeper deletes what is older, a little at a time."""

import time
from datetime import timedelta

from psycopg_pool import ConnectionPool

from ai_platform.storage.postgres import BoundedConnection
from ai_platform.telemetry import LOOP_FAILURES, logger

log = logger(__name__)

CLEANING_SECONDS = 60.0
LONGEST_CLEANING_SECONDS = 0.25
STATEMENT_LIMIT = "SET LOCAL statement_timeout = '500ms'"
ROWS_A_STATEMENT = 1_000
# An id of version 7 begins with its milliseconds since 1970, so the old ones are one end of the primary key. As an
# array they are looked up there, whatever the planner thinks of the table's size.
DELETE_OLD = """
DELETE FROM prediction_log WHERE id = ANY (ARRAY(
    SELECT id FROM prediction_log WHERE id < (
        lpad(to_hex(greatest(extract(epoch FROM now() - %(keep)s) * 1000, 0)::bigint), 12, '0') || repeat('0', 20)
    )::uuid
    ORDER BY id LIMIT %(limit)s
))
"""


class LogRetention:
    """Deletes old rows once a minute, and once a round while there are more than it can delete in its time.

    Args:
        keep_days: days for which predictions are kept.
    """

    def __init__(self, keep_days: float) -> None:
        self._keep = timedelta(days=keep_days)
        self._due = 0.0

    def clean(self, pool: ConnectionPool[BoundedConnection]) -> None:
        """Delete for about a quarter of a second, if it is time to.

        It raises nothing, because the sweeper has more important things to do: what fails is logged and counted.
        """
        if time.monotonic() < self._due:
            return
        more = False
        try:
            with pool.connection() as connection:
                more = self.delete_old(connection)
        except Exception as error:  # noqa: BLE001  # logged and counted; the next minute tries again
            LOOP_FAILURES.labels("prediction-log-retention").inc()
            log.warning("old predictions not deleted", why=str(error))
        self._due = time.monotonic() + (0.0 if more else CLEANING_SECONDS)

    def delete_old(self, connection: BoundedConnection, rows: int = ROWS_A_STATEMENT) -> bool:
        """Delete until nothing old is left or the time is over.

        Args:
            connection: to PostgreSQL.
            rows: most rows of one statement.

        Returns:
            Whether old rows may be left.

        Raises:
            psycopg.Error: PostgreSQL is away, did not delete in half a second, or refuses.
        """
        until = time.monotonic() + LONGEST_CLEANING_SECONDS
        while True:
            with connection.transaction():
                connection.execute(STATEMENT_LIMIT)
                deleted = connection.execute(DELETE_OLD, {"keep": self._keep, "limit": rows}).rowcount
            if deleted < rows:
                return False
            if time.monotonic() >= until:
                return True
