"""Making, listing, rotating and revoking keys; each change and its audit entry are one transaction."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg import errors as postgres_errors

from ai_platform.access.key_text import KEY_ID, digest_of, id_of, new_key_text
from ai_platform.access.principal import SCOPES, Principal
from ai_platform.access.terms import Terms
from ai_platform.errors import Forbidden, KeyNotActive, KeyNotFound
from ai_platform.storage import audit
from ai_platform.storage.postgres import BoundedConnection, translated

_STATE = """CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'active' END
    AS state"""
_SEEN = f"""id, owner, scopes, models, rows_a_second, burst_rows, waiting_jobs, created_at, created_by, rotated_from,
    expires_at, last_used_at, revoked_at, revoked_by, {_STATE}"""
_INSERT = f"""
INSERT INTO api_keys (id, sha256, owner, scopes, models, rows_a_second, burst_rows, waiting_jobs, created_by,
    rotated_from, expires_at)
VALUES (%(id)s, %(sha256)s, %(owner)s, %(scopes)s, %(models)s, %(rows_a_second)s, %(burst_rows)s, %(waiting_jobs)s,
    %(actor)s, %(rotated_from)s, now() + %(lifetime)s)
RETURNING {_SEEN}
"""  # noqa: S608  # built of constants of its own


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its administrators see it; its secret is nowhere.

    Attributes:
        id: eight characters, the part of the text after `aip_`.
        owner: whose it is.
        scopes: what it may do.
        models: the models that it may use; None for all.
        rows_a_second: its own limit; None for the platform's default.
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
    rows_a_second: float | None
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


def create(connection: BoundedConnection, terms: Terms, actor: str, grantor: Principal | None) -> tuple[str, ApiKey]:
    """Make a key.

    Args:
        connection: to PostgreSQL.
        terms: what it is to be.
        actor: who makes it.
        grantor: whose rights bound it; None for the operator at the command line, whose rights nothing bounds.

    Returns:
        Its text, which is kept nowhere, and the key.

    Raises:
        Forbidden: the grantor cannot give what is asked for.
        StorageUnavailable: PostgreSQL is away.
    """
    _require_grantable(grantor, frozenset(terms.scopes), terms.models)
    lifetime = None if terms.expires_in is None else timedelta(seconds=terms.expires_in)
    given = {name: getattr(terms, name) for name in ("models", "rows_a_second", "burst_rows", "waiting_jobs")}
    row = {"owner": terms.owner, "scopes": _ordered(terms.scopes), **given, "rotated_from": None, "lifetime": lifetime}
    text = new_key_text()
    with translated(), connection.transaction():
        return text, _insert(connection, text, row, actor, "key.create")


def ensure_admin(connection: BoundedConnection, text: str, actor: str) -> ApiKey | None:
    """Make the key of a given text with every scope, unless it exists.

    Returns:
        The key; None when it exists already.

    Raises:
        InvalidSettings: the text is no key.
        StorageUnavailable: PostgreSQL is away.
    """
    key_id = id_of(text)
    blank = dict.fromkeys(("models", "rows_a_second", "burst_rows", "waiting_jobs", "rotated_from", "lifetime"))
    row = {"owner": "admin", "scopes": list(SCOPES), **blank}
    try:
        with translated(), connection.transaction():
            if connection.execute("SELECT 1 FROM api_keys WHERE id = %s", (key_id,)).fetchone():
                return None
            return _insert(connection, text, row, actor, "key.create")
    except postgres_errors.UniqueViolation:  # by another process, at the same moment
        return None


def rotate(
    connection: BoundedConnection, key_id: str, overlap: timedelta, actor: str, grantor: Principal | None
) -> tuple[str, ApiKey]:
    """Make the successor of a key, with the same owner, scopes, models and limits; the old one ends after the overlap.

    The successor is valid for as long as the old one was made for, counted from now.

    Returns:
        The successor's text, which is kept nowhere, and the successor.

    Raises:
        KeyNotFound: there is no such key.
        KeyNotActive: it has expired or was revoked.
        Forbidden: the grantor cannot give what the key has.
        StorageUnavailable: PostgreSQL is away.
    """
    text = new_key_text()
    with translated(), connection.transaction():
        old = _locked(connection, key_id)
        if old.state != "active":
            raise KeyNotActive(f"the key is {old.state}; make a new one")
        _require_grantable(grantor, frozenset(old.scopes), old.models)
        same = ("owner", "scopes", "models", "rows_a_second", "burst_rows", "waiting_jobs")
        row = {name: getattr(old, name) for name in same}
        row |= {"rotated_from": old.id, "lifetime": old.expires_at and old.expires_at - old.created_at}
        new = _insert(connection, text, row, actor, "key.rotate")
        connection.execute(
            "UPDATE api_keys SET expires_at = least(expires_at, now() + %s) WHERE id = %s", (overlap, old.id)
        )
    return text, new


def revoke(connection: BoundedConnection, key_id: str, actor: str, **detail: Any) -> ApiKey:
    """End a key, now and for good; one that is revoked already stays so.

    Raises:
        KeyNotFound: there is no such key.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated(), connection.transaction():
        old = _locked(connection, key_id)
        if old.revoked_at is not None:
            return old
        connection.execute("UPDATE api_keys SET revoked_at = now(), revoked_by = %s WHERE id = %s", (actor, key_id))
        audit.record(connection, actor=actor, action="key.revoke", subject=f"key/{key_id}", owner=old.owner, **detail)
        return _locked(connection, key_id)


def every_key(connection: BoundedConnection) -> list[ApiKey]:
    """All keys, newest first, ended ones included.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        rows = connection.execute(f"SELECT {_SEEN} FROM api_keys ORDER BY created_at DESC, id").fetchall()  # noqa: S608
    return [ApiKey(**row) for row in rows]


def _insert(connection: BoundedConnection, text: str, row: dict[str, Any], actor: str, action: str) -> ApiKey:
    key_id = id_of(text)
    given = {"id": key_id, "sha256": digest_of(text.encode("ascii")), "actor": actor, **row}
    made = connection.execute(_INSERT, given).fetchone()
    assert made is not None
    key = ApiKey(**made)
    detail: dict[str, Any] = {
        "owner": key.owner,
        "scopes": key.scopes,
        "models": key.models,
        "rotated_from": key.rotated_from,
    }
    expires = key.expires_at and key.expires_at.isoformat()
    audit.record(connection, actor=actor, action=action, subject=f"key/{key_id}", expires_at=expires, **detail)
    return key


def _locked(connection: BoundedConnection, key_id: str) -> ApiKey:
    found = None
    if KEY_ID.fullmatch(key_id):
        statement = f"SELECT {_SEEN} FROM api_keys WHERE id = %s FOR UPDATE"  # noqa: S608
        found = connection.execute(statement, (key_id,)).fetchone()
    if found is None:
        raise KeyNotFound("there is no key with this id")
    return ApiKey(**found)


def _require_grantable(grantor: Principal | None, scopes: frozenset[str], models: list[str] | None) -> None:
    if grantor is None:
        return
    missing = scopes - grantor.scopes
    if missing:
        raise Forbidden(f"a key cannot give what it has not itself: {', '.join(_ordered(missing))}")
    if grantor.models is not None and (models is None or not set(models) <= grantor.models):
        raise Forbidden("a key cannot give models that it may not use itself")


def _ordered(scopes: "frozenset[str] | list[str]") -> list[str]:
    return [scope for scope in SCOPES if scope in scopes]
