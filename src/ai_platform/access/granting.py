"""What a key may give to another, and which keys it reaches: never more than it has itself.

The bounds are those of the maker's row as it is now, not as a process read it some seconds ago, so that a key which was
revoked a moment ago makes none that outlives it.
"""

import contextlib
from collections.abc import Collection
from datetime import timedelta

from ai_platform.access import api_key
from ai_platform.access.api_key import ApiKey
from ai_platform.access.gcra import limit_of
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.principal import SCOPES, Principal
from ai_platform.errors import Forbidden, KeyNotFound, Unauthenticated
from ai_platform.storage.postgres import BoundedConnection


def maker_of(connection: BoundedConnection, grantor: Principal | None) -> ApiKey | None:
    """The key of whoever makes or changes one, as it is now; None for the operator, whom nothing bounds.

    Raises:
        Unauthenticated: it has ended.
        StorageUnavailable: PostgreSQL is away.
    """
    if grantor is None:
        return None
    with contextlib.suppress(KeyNotFound):
        maker = api_key.read(connection, grantor.key_id)
        if maker.state == "active":
            return maker
    raise Unauthenticated("the key that asks for this has ended")


def require_visible(maker: ApiKey | None, key: ApiKey) -> None:
    """Refuse a key that may use models which the maker may not, like one that does not exist.

    Raises:
        KeyNotFound: it may.
    """
    if maker is not None and not _covers(maker.models, key.models):
        raise KeyNotFound("there is no key with this id")


def require_reach(maker: ApiKey | None, scopes: Collection[str], models: Collection[str] | None) -> None:
    """Refuse to give or to end rights that the maker has not.

    Raises:
        Forbidden: some of them it has not.
    """
    if maker is None:
        return
    missing = set(scopes) - set(maker.scopes)
    if missing:
        raise Forbidden(f"a key cannot give or end what it has not itself: {', '.join(ordered(missing))}")
    if not _covers(maker.models, models):
        raise Forbidden("a key cannot give models that it may not use itself")


def require_end(maker: ApiKey | None, made: ApiKey) -> None:
    """Refuse a key that outlives its maker; both ends are the database's own figures, so no clock decides it.

    Raises:
        Forbidden: it does.
    """
    if maker is None or maker.expires_at is None:
        return
    if made.expires_at is None or made.expires_at > maker.expires_at:
        left = int((maker.expires_at - made.created_at).total_seconds())
        raise Forbidden(f"a key cannot outlive its maker: `expires_in` must be given, and at most {left}")


def require_limits(maker: ApiKey | None, wanted: KeySpec | ApiKey) -> None:
    """Refuse a key with wider limits than its maker's own, or with none where the maker has one.

    The platform's defaults bind no maker: that a key has a limit of its own is how it gets another than the default.

    Raises:
        Forbidden: a limit is wider.
    """
    if maker is None:
        return
    most = {
        "rows_per_second": (maker.rows_per_second, wanted.rows_per_second),
        "burst_rows": (_burst(maker, wanted), wanted.burst_rows),
        "waiting_jobs": (maker.waiting_jobs, wanted.waiting_jobs),
    }
    for name, (own, given) in most.items():
        if own is not None and (given is None or given > own):
            raise Forbidden(f"a key cannot give a wider limit than its own: `{name}` must be at most {own:.12g}")


def successors_life(maker: ApiKey | None, old: ApiKey) -> timedelta | None:
    """How long the successor of a key is made for: as long as that was.

    Raises:
        Forbidden: the key that is replaced outlives the maker, and so would its successor.
    """
    if old.expires_at is None:
        if maker is not None and maker.expires_at is not None:
            raise Forbidden("a key cannot outlive its maker: this one has no end, and yours has")
        return None
    if maker is not None and maker.expires_at is not None and old.expires_at > maker.expires_at:
        raise Forbidden("a key cannot outlive its maker: this one ends later than yours")
    return old.expires_at - old.created_at


def ordered(scopes: Collection[str]) -> list[str]:
    """Scopes in the order in which they are documented."""
    return [scope for scope in SCOPES if scope in scopes]


def _covers(own: Collection[str] | None, models: Collection[str] | None) -> bool:
    return own is None or (models is not None and set(models) <= set(own))


def _burst(maker: ApiKey, wanted: KeySpec | ApiKey) -> int | None:
    """Rows that may be given at once: the maker's own number or, of a number that is asked for, its rate's second."""
    if maker.burst_rows is not None or wanted.burst_rows is None:
        return maker.burst_rows
    limit = limit_of(maker.rows_per_second, None)
    return None if limit is None else limit.burst
