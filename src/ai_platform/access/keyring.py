"""All keys in the memory of one process: who calls is a look-up and one SHA-256, never a wait."""

import threading
import time
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple, TypeVar

from ai_platform.access.deferred_writes import DeferredWrites
from ai_platform.access.gcra import limit_of
from ai_platform.access.key_text import KEY_IN_BYTES
from ai_platform.access.principal import Principal
from ai_platform.errors import KeysUnavailable, Unauthenticated
from ai_platform.processes.background import ThreadLoop
from ai_platform.settings import AccessSettings
from ai_platform.storage.postgres import Database, translated
from ai_platform.telemetry import AUTHENTICATION_FAILURES, logger

log = logger(__name__)

# Ended keys are read too for a while, so that their use is counted for what it is.
_READ = """
SELECT id, sha256, owner, scopes, models, rows_per_second, burst_rows, waiting_jobs, revoked_at IS NOT NULL AS revoked,
    extract(epoch FROM expires_at - now())::float AS seconds_left
FROM api_keys
WHERE (revoked_at IS NULL OR revoked_at > now() - interval '30 days')
    AND (expires_at IS NULL OR expires_at > now() - interval '30 days')
"""
_NEVER = float("inf")
Answered = TypeVar("Answered")
# Compared with when there is no such key, so that an unknown id takes as long as a wrong secret.
_NO_DIGEST = bytes(32)


class _Held(NamedTuple):
    digest: bytes
    ends: float  # on the monotonic clock
    principal: Principal
    revoked: bool


_UNKNOWN = _Held(_NO_DIGEST, 0.0, Principal("", None, frozenset()), revoked=False)


class Keyring:
    """The keys, read anew every `access.refresh_seconds` by a thread, and used for `access.stale_seconds` without that.

    Args:
        database: where the keys are.
        access: how often they are read, how long they are used, and limits of keys that have none of their own.
    """

    def __init__(self, database: Database, access: AccessSettings) -> None:
        self._access = access
        self._pool = database.pool("api-keys", size=2)
        self._held: dict[bytes, _Held] = {}
        self._usable_until = 0.0
        self._reading = threading.Lock()
        self._loop = ThreadLoop(
            "keyring", self._round, failure="keys not read", pause=self._access.refresh_seconds, last=self._round
        )
        self.deferred = DeferredWrites()

    def start(self) -> None:
        """Begin to read."""
        self._loop.start()

    def stop(self) -> None:
        """Stop reading, and write down what was noted."""
        self._loop.stop(5)
        self._pool.close(timeout=1)

    def ask(self, question: Callable[..., Answered], *given: Any, **named: Any) -> Answered:
        """What a question about keys or the audit log answers, which is given a connection first.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        with translated(), self._pool.connection() as connection:
            return question(connection, *given, **named)

    def change(self, change: Callable[..., Answered], *given: Any, **named: Any) -> Answered:
        """The same for a change of keys, which this keyring knows of when it returns."""
        answered = self.ask(change, *given, **named)
        self.refresh()
        return answered

    def require_fresh(self) -> None:
        """Refuse while nobody's key can be judged.

        Raises:
            KeysUnavailable: the keys were never read, or not for `access.stale_seconds`.
        """
        if not self.is_fresh():
            raise KeysUnavailable("keys cannot be checked now: the database that holds them does not answer")

    def is_fresh(self) -> bool:
        """Whether keys can be judged."""
        return time.monotonic() <= self._usable_until

    def authenticate(self, text: bytes | None) -> Principal:
        """Whose key this is; from memory alone, in a few microseconds.

        Raises:
            Unauthenticated: it is none, or none that is valid now; which of the two is for the metrics alone.
            KeysUnavailable: nobody's key can be judged.
        """
        now = time.monotonic()
        if text is None or now > self._usable_until:
            self.require_fresh()
            raise refused("missing")
        digest, ends, principal, _ = held = self._held.get(text[4:12], _UNKNOWN)
        if compare_digest(sha256(text).digest(), digest) and now < ends:
            self.deferred.use(principal.key_id)
            return principal
        raise refused(_reason(text, held))

    def is_valid(self, key_id: str | None) -> bool:
        """Whether a key that was accepted would be accepted still: for answers that take long."""
        held = self._held.get((key_id or "").encode())
        return held is not None and time.monotonic() < held.ends

    def refresh(self) -> None:
        """Read all keys once.

        Raises:
            StorageUnavailable: PostgreSQL is away; the keys that were read last stay.
        """
        with self._reading:  # an older read must not replace a newer one
            begun = time.monotonic()
            rows = self.ask(lambda connection: connection.execute(_READ).fetchall())
            self._held = {row["id"].encode(): self._hold(row, begun) for row in rows}
            if not self._usable_until and not any(held.ends for held in self._held.values()):
                log.warning("no key is valid; make one with `ai-platform keys create --admin`")
            self._usable_until = begun + self._access.stale_seconds

    def _hold(self, row: dict[str, Any], now: float) -> _Held:
        models = row["models"]
        principal = Principal(
            owner=row["owner"],
            key_id=row["id"],
            scopes=frozenset(row["scopes"]),
            models=None if models is None else frozenset(models),
            limit=limit_of(
                row["rows_per_second"] or self._access.key_rows_per_second,
                row["burst_rows"] or self._access.key_burst_rows,
            ),
            waiting_jobs=row["waiting_jobs"],
        )
        left = row["seconds_left"]
        ends = 0.0 if row["revoked"] else _NEVER if left is None else now + left
        return _Held(bytes(row["sha256"]), ends, principal, row["revoked"])

    def _round(self) -> float:
        begun = time.monotonic()
        self.refresh()
        self.ask(self.deferred.write)
        return self._access.refresh_seconds - (time.monotonic() - begun)


def _reason(text: bytes, held: _Held) -> str:
    if not KEY_IN_BYTES.match(text):
        return "malformed"
    if not compare_digest(sha256(text).digest(), held.digest):
        return "unknown"
    return "revoked" if held.revoked else "expired"


def refused(reason: str) -> Unauthenticated:
    """The one answer to every kind of key that is not valid; the kind is counted."""
    AUTHENTICATION_FAILURES.labels(reason).inc()
    return Unauthenticated("a valid API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
