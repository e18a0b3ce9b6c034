"""Making, rotating and revoking keys; each change and its audit entry are one transaction."""

from datetime import timedelta
from typing import Any

from psycopg import errors as postgres_errors

from ai_platform.access import api_key, granting
from ai_platform.access.api_key import COLUMNS, ApiKey
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.key_text import digest_of, id_of, new_key_text
from ai_platform.access.principal import SCOPES, Principal
from ai_platform.errors import KeyNotActive
from ai_platform.storage import audit
from ai_platform.storage.postgres import BoundedConnection, translated

_INSERT = f"""
INSERT INTO api_keys (id, sha256, owner, scopes, models, rows_per_second, burst_rows, waiting_jobs, created_by,
    rotated_from, expires_at)
VALUES (%(id)s, %(sha256)s, %(owner)s, %(scopes)s, %(models)s, %(rows_per_second)s, %(burst_rows)s, %(waiting_jobs)s,
    %(actor)s, %(rotated_from)s, least(now() + %(lifetime)s, %(no_later)s))
RETURNING {COLUMNS}
"""  # noqa: S608  # built of constants of its own


def create(connection: BoundedConnection, spec: KeySpec, actor: str, grantor: Principal | None) -> tuple[str, ApiKey]:
    """Make a key.

    Args:
        connection: to PostgreSQL.
        spec: what it is to be.
        actor: who makes it.
        grantor: whose rights bound it; None for the operator at the command line, whose rights nothing bounds.

    Returns:
        Its text, which is kept nowhere, and the key.

    Raises:
        Forbidden: the grantor cannot give what is asked for, or not for so long, or with so wide limits.
        Unauthenticated: the grantor's key has ended.
        StorageUnavailable: PostgreSQL is away.
    """
    lifetime = None if spec.expires_in is None else timedelta(seconds=spec.expires_in)
    given = {name: getattr(spec, name) for name in ("models", "rows_per_second", "burst_rows", "waiting_jobs")}
    row = {"owner": spec.owner, "scopes": granting.ordered(spec.scopes), **given}
    row |= {"rotated_from": None, "lifetime": lifetime, "no_later": None}
    text = new_key_text()
    with translated(), connection.transaction():
        maker = granting.maker_of(connection, grantor)
        granting.require_reach(maker, spec.scopes, spec.models)
        granting.require_limits(maker, spec)
        made = _insert(connection, text, row, actor, "key.create")
        granting.require_end(maker, made)
        return text, made


def ensure_admin(connection: BoundedConnection, text: str, actor: str) -> ApiKey | None:
    """Make the key of a given text with every scope, unless it exists.

    Returns:
        The key; None when it exists already.

    Raises:
        InvalidSettings: the text is no key.
        StorageUnavailable: PostgreSQL is away.
    """
    key_id = id_of(text)
    blank = dict.fromkeys(
        ("models", "rows_per_second", "burst_rows", "waiting_jobs", "rotated_from", "lifetime", "no_later")
    )
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

    The successor is valid for as long as the old one was made for, counted from now, and not for longer than the
    grantor's key.

    Returns:
        The successor's text, which is kept nowhere, and the successor.

    Raises:
        KeyNotFound: there is no such key, or it is for models that the grantor may not use.
        KeyNotActive: it has expired or was revoked.
        Forbidden: the grantor cannot give what the key has.
        Unauthenticated: the grantor's key has ended.
        StorageUnavailable: PostgreSQL is away.
    """
    text = new_key_text()
    with translated(), connection.transaction():
        maker = granting.maker_of(connection, grantor)
        old = api_key.read(connection, key_id, lock=True)
        granting.require_visible(maker, old)
        if old.state != "active":
            raise KeyNotActive(f"the key is {old.state}; make a new one")
        granting.require_reach(maker, old.scopes, old.models)
        granting.require_limits(maker, old)
        same = ("owner", "scopes", "models", "rows_per_second", "burst_rows", "waiting_jobs")
        row = {name: getattr(old, name) for name in same}
        row |= {"rotated_from": old.id, "lifetime": granting.successors_life(maker, old)}
        row["no_later"] = maker and maker.expires_at
        new = _insert(connection, text, row, actor, "key.rotate")
        connection.execute(
            "UPDATE api_keys SET expires_at = least(expires_at, now() + %s) WHERE id = %s", (overlap, old.id)
        )
    return text, new


def revoke(
    connection: BoundedConnection, key_id: str, actor: str, grantor: Principal | None = None, **detail: Any
) -> ApiKey:
    """End a key, now and for good; one that is revoked already stays so.

    Args:
        connection: to PostgreSQL.
        key_id: of the key.
        actor: who ends it.
        grantor: whose rights bound which keys are within reach; None for the operator at the command line.
        detail: for the audit log.

    Raises:
        KeyNotFound: there is no such key, or it is for models that the grantor may not use.
        Forbidden: it has scopes that the grantor has not.
        Unauthenticated: the grantor's key has ended.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated(), connection.transaction():
        maker = granting.maker_of(connection, grantor)
        old = api_key.read(connection, key_id, lock=True)
        granting.require_visible(maker, old)
        granting.require_reach(maker, old.scopes, old.models)
        if old.revoked_at is not None:
            return old
        connection.execute("UPDATE api_keys SET revoked_at = now(), revoked_by = %s WHERE id = %s", (actor, key_id))
        audit.record(connection, actor=actor, action="key.revoke", subject=f"key/{key_id}", owner=old.owner, **detail)
        return api_key.read(connection, key_id)


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
