"""What this process tells the others of its versions: the changes since the last time, over a connection of theirs."""

import contextlib
import os
import socket
import threading
import uuid
from datetime import datetime

from ai_platform.errors import PlatformError
from ai_platform.models.registry import serving_reports
from ai_platform.predictions.catalog.conditions import Condition
from ai_platform.storage.postgres import BoundedConnection, Database

KINDS = ("api", "worker")


class ServingReport:
    """Writes the conditions of this process' versions to PostgreSQL. Thread-safe.

    Args:
        database: where it is written.
        name: `api` or `worker`; others (a test, a look of `doctor`) serve nobody, and write nothing.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._kind = name
        self._process = f"{name}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._written: dict[tuple[str, int], Condition] = {}
        self._begun = False
        self._ended = False
        self._lock = threading.Lock()

    def write(self, connection: BoundedConnection, conditions: list[Condition], looked_at: datetime | None) -> None:
        """Write what has changed since the last time.

        Args:
            connection: to PostgreSQL.
            conditions: of all versions.
            looked_at: the moment of the look at the aliases that was acted on; None for none since the last time.

        Raises:
            StorageUnavailable: PostgreSQL is away; the next call writes it.
        """
        if self._kind not in KINDS:
            return
        with self._lock:
            if self._ended:
                return
            if not self._begun:
                serving_reports.begin(connection)
            now = {(found.model, found.version): found for found in conditions}
            changed = [found for key, found in now.items() if self._written.get(key) != found]
            gone = [key for key in self._written if key not in now]
            is_new = serving_reports.write(
                connection, self._process, self._kind,
                looked_at=looked_at, changed=[_row(found) for found in changed], gone=gone,
            )  # fmt: skip
            # After a crash of PostgreSQL everything is written again, the next time.
            self._written = {} if is_new and self._begun else now
            self._begun = True

    def withdraw(self) -> None:
        """This process serves no more."""
        with self._lock:
            self._ended = True
            if self._begun:
                with contextlib.suppress(PlatformError), self._database.connect(self._kind) as connection:
                    serving_reports.withdraw(connection, self._process)


def _row(found: Condition) -> serving_reports.Row:
    retry = found.retry_seconds if found.state == "failed" else None
    return serving_reports.Row(
        found.model, found.version, found.state, found.why, found.failures, found.failed_calls, retry
    )
