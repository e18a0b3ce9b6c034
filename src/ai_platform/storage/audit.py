"""The append-only record of who did what to models, keys, jobs of others and settings."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import msgspec
from psycopg.types.json import Json

from ai_platform.storage.postgres import BoundedConnection, translated
from ai_platform.telemetry import REQUEST_ID


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did, or was refused.

    Attributes:
        id: grows with time.
        at: the database's clock.
        actor: who: a key's owner, or the user of a command.
        action: what (`model.publish`, `key.revoke`).
        subject: to what (`churn/3`).
        outcome: `done` or `refused`.
        detail: what else is known; never a secret or an input.
        request_id: of the request that did it, if one did.
    """

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str
    detail: dict[str, Any]
    request_id: str | None


def record(
    connection: BoundedConnection,
    *,
    actor: str,
    action: str,
    subject: str,
    outcome: Literal["done", "refused"] = "done",
    **detail: Any,
) -> None:
    """Write one entry, in the caller's transaction if there is one; a refusal is written after that was rolled back.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        connection.execute(
            "INSERT INTO audit_log (actor, action, subject, outcome, detail, request_id)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (actor, action, subject, outcome, Json(detail), REQUEST_ID.get()),
        )


# An entry is about a key, which is told by the form of its subject, or about a model or one of its versions.
_ENTRIES = """
SELECT id, at, actor, action, subject, outcome, detail, request_id FROM audit_log
WHERE (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
    AND (%(subject)s::text IS NULL OR subject = %(subject)s OR starts_with(subject, %(subject)s || '/'))
    AND (%(models)s::text[] IS NULL OR CASE WHEN subject ~ '^key/[0-9A-Za-z]{8}$'
        THEN substr(subject, 5) IN (SELECT id FROM api_keys WHERE models <@ %(models)s::text[])
        ELSE split_part(subject, '/', 1) = ANY(%(models)s::text[]) END)
ORDER BY id DESC LIMIT %(limit)s
"""


def entries(
    connection: BoundedConnection,
    *,
    limit: int,
    before: int | None = None,
    subject: str | None = None,
    models: Collection[str] | None = None,
) -> list[Entry]:
    """The newest entries.

    Args:
        connection: to PostgreSQL.
        limit: most entries.
        before: only those with a smaller id, for the following page.
        subject: only those about this, or about what begins with it and a slash.
        models: only those about these models, and about keys that may use no others; None for all.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    named = None if models is None else sorted(models)
    parameters = {"before": before, "subject": subject, "limit": limit, "models": named}
    with translated():
        rows = connection.execute(_ENTRIES, parameters).fetchall()
    return [Entry(**row) for row in rows]
