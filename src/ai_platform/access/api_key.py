"""A key as it stands in the database, and how it is read from there; its secret is nowhere."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from ai_platform.access.key_text import KEY_ID
from ai_platform.errors import KeyNotFound
from ai_platform.storage.postgres import BoundedConnection, translated

_STATE = """CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'active' END
    AS state"""
COLUMNS = f"""id, owner, scopes, models, rows_per_second, burst_rows, waiting_jobs, created_at, created_by,
    rotated_from, expires_at, last_used_at, revoked_at, revoked_by, {_STATE}"""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its administrators see it; its secret is nowhere.

    Attributes:
        id: eight characters, the part of the text after `aip_`.
        owner: whose it is.
        scopes: what it may do.
        models: the models that it may use; None for all.
        rows_per_second: its own limit; None for the platform's default.
        burst_rows: rows that may come at once; None for one second's worth.
        waiting_jobs: queued jobs that its owner may have through it; None for the platform's default.
        created_at: all times are the database's.
        created_by: the owner of the key that made it, or the user of the command.
        rotated_from: the key that it replaces.
        expires_at: when it ends; None for never.
        last_used_at: to within about a minute.
        revoked_at: when it was revoked.
        revoked_by: by whom.
        state: active, expired or revoked.
    """

    id: str
    owner: str
    scopes: list[str]
    models: list[str] | None
    rows_per_second: float | None
    burst_rows: int | None
    waiting_jobs: int | None
    created_at: datetime
    created_by: str
    rotated_from: str | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    state: str


def read(connection: BoundedConnection, key_id: str | None, *, lock: bool = False) -> ApiKey:
    """One key.

    Args:
        connection: to PostgreSQL.
        key_id: its id.
        lock: whether nobody else may change it until the transaction ends.

    Raises:
        KeyNotFound: there is no such key.
        StorageUnavailable: PostgreSQL is away.
    """
    found = None
    if key_id is not None and KEY_ID.fullmatch(key_id):
        statement = f"SELECT {COLUMNS} FROM api_keys WHERE id = %s{' FOR UPDATE' if lock else ''}"  # noqa: S608
        with translated():
            found = connection.execute(statement, (key_id,)).fetchone()
    if found is None:
        raise KeyNotFound("there is no key with this id")
    return ApiKey(**found)


def every_key(connection: BoundedConnection, models: Collection[str] | None = None) -> list[ApiKey]:
    """All keys, newest first, ended ones included.

    Args:
        connection: to PostgreSQL.
        models: only those that may use no model but these; None for all.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    statement = f"""SELECT {COLUMNS} FROM api_keys WHERE %(models)s::text[] IS NULL OR models <@ %(models)s::text[]
        ORDER BY created_at DESC, id"""  # noqa: S608
    with translated():
        rows = connection.execute(statement, {"models": None if models is None else sorted(models)}).fetchall()
    return [ApiKey(**row) for row in rows]
