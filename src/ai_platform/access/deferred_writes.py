"""What requests leave to be written later: which keys were used, and who was refused. No request waits for it."""

import time
from collections import deque
from typing import Any

from ai_platform.storage import audit
from ai_platform.storage.postgres import BoundedConnection, translated
from ai_platform.telemetry import AUDIT_DROPPED

MINUTE = 60.0
# Refusals that wait to be written; beyond it they are counted and dropped.
MOST_WAITING = 1_000
_USED = """
UPDATE api_keys SET last_used_at = now()
WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


class DeferredWrites:
    """Collected by requests on the event loop, written by the keyring's thread; each thing at most once a minute."""

    def __init__(self) -> None:
        self._used: set[str | None] = set()
        self._written: dict[str | None, float] = {}
        self._refused: deque[dict[str, Any]] = deque()
        self._noted: dict[tuple[str, str], float] = {}

    def use(self, key_id: str | None) -> None:
        """A key was used."""
        self._used.add(key_id)

    def refuse(self, actor: str, key_id: str | None, action: str, why: str) -> None:
        """Somebody was refused; the same to the same key is written once a minute, and counted by the metrics."""
        now = time.monotonic()
        what = (key_id or actor, action)
        if now - self._noted.get(what, -MINUTE) < MINUTE:
            return
        if len(self._refused) >= MOST_WAITING or len(self._noted) >= MOST_WAITING:
            self._noted = {noted: at for noted, at in self._noted.items() if now - at < MINUTE}
            if len(self._refused) >= MOST_WAITING or len(self._noted) >= MOST_WAITING:
                AUDIT_DROPPED.inc()
                return
        self._noted[what] = now
        self._refused.append({"actor": actor, "action": action, "subject": f"key/{key_id}", "why": why})

    def write(self, connection: BoundedConnection) -> None:
        """Write what is due.

        Raises:
            StorageUnavailable: PostgreSQL is away; uses wait for the next time.
        """
        now = time.monotonic()
        due = [key_id for key_id in tuple(self._used) if now - self._written.get(key_id, -MINUTE) >= MINUTE]
        if due:
            with translated():
                connection.execute(_USED, (due,))
            self._written |= dict.fromkeys(due, now)
        self._used.difference_update(due)
        while self._refused:
            entry = self._refused[0]
            audit.record(connection, outcome="refused", **entry)
            self._refused.popleft()
