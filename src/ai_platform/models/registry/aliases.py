"""Aliases: movable names for a version, or for several with weights; each change keeps what was there before."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Json

from ai_platform.errors import InvalidParameter, ModelNotFound
from ai_platform.models.registry.names import check_alias_name
from ai_platform.storage.postgres import BoundedConnection, translated

PRODUCTION = "production"
MOST_TARGETS = 8
MOST_WEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """One version behind an alias.

    Attributes:
        version: its number.
        weight: its share of the callers, 1 to 1000, against the sum of all weights.
    """

    version: int
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Alias:
    """A movable name.

    Attributes:
        model: the model's name.
        name: the alias.
        targets: by version; at least one.
        previous: what it named before its last change; none when it never named anything else.
        updated_at: when it last changed.
        updated_by: who changed it.
    """

    model: str
    name: str
    targets: tuple[Target, ...]
    previous: tuple[Target, ...]
    updated_at: datetime
    updated_by: str

    def choose(self, draw: int) -> int:
        """The version for a caller.

        Args:
            draw: a number from 0 up, evenly spread over callers; the same number always gives the same version.
        """
        return choose(self.targets, draw)


def choose(targets: tuple[Target, ...], draw: int) -> int:
    """The version that a number falls to, in proportion to the weights."""
    place = draw % sum(target.weight for target in targets)
    for target in targets:
        place -= target.weight
        if place < 0:
            return target.version
    raise AssertionError("the place is below the sum of the weights")


def draw_for(model: str, caller: bytes) -> int:
    """A number for one caller of one model: always the same, evenly spread over callers (SHA-256)."""
    return int.from_bytes(hashlib.sha256(model.encode() + b"\0" + caller).digest()[:8])


def everything(connection: BoundedConnection) -> list[Alias]:
    """All aliases of all models.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    return _read(connection, None, None)


def of_model(connection: BoundedConnection, model: str) -> list[Alias]:
    """The aliases of one model, by name; none for a model that does not exist.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    return _read(connection, model, None)


def find(connection: BoundedConnection, model: str, alias: str) -> Alias:
    """One alias.

    Raises:
        ModelNotFound: the model has no such alias.
        StorageUnavailable: PostgreSQL is away.
    """
    found = _read(connection, model, alias)
    if not found:
        raise ModelNotFound(f"model {model!r} has no alias {alias!r}")
    return found[0]


def point(connection: BoundedConnection, model: str, alias: str, targets: tuple[Target, ...], *, by: str) -> Alias:
    """Let an alias name these versions; naming what it names already changes nothing.

    Args:
        connection: to PostgreSQL; the caller's transaction is joined if there is one.
        model: the model's name.
        alias: the alias, made if it is new.
        targets: 1 to 8 of them, each version once.
        by: who does it.

    Raises:
        InvalidParameter: alias or targets are not of their form.
        ModelNotFound: a version does not exist.
        StorageUnavailable: PostgreSQL is away.
    """
    _check(alias, targets)
    with translated(), connection.transaction():
        # The model's row is the lock under which its aliases move; the versions' rows keep a deletion away.
        connection.execute("SELECT 1 FROM models WHERE name = %s FOR UPDATE", (model,))
        wanted = [target.version for target in targets]
        rows = connection.execute(
            "SELECT version FROM model_versions WHERE model = %s AND version = ANY(%s) AND deleted_at IS NULL"
            " FOR SHARE",
            (model, wanted),
        ).fetchall()
        missing = set(wanted) - {row["version"] for row in rows}
        if missing:
            raise ModelNotFound(f"model {model!r} has no version {min(missing)}")
        before = _read(connection, model, alias)
        if before and set(before[0].targets) == set(targets):
            return before[0]
        _write(connection, model, alias, targets=targets, previous=before[0].targets if before else (), by=by)
        return _read(connection, model, alias)[0]


def roll_back(connection: BoundedConnection, model: str, alias: str, *, by: str) -> Alias:
    """Let an alias name again what it named before its last change; rolling back twice changes nothing in the end.

    Raises:
        ModelNotFound: no such alias, it never named anything else, or what it named was deleted.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated(), connection.transaction():
        connection.execute("SELECT 1 FROM models WHERE name = %s FOR UPDATE", (model,))
        alias_now = find(connection, model, alias)
        if not alias_now.previous:
            raise ModelNotFound(f"alias {alias!r} of model {model!r} has named nothing else before")
        return point(connection, model, alias, alias_now.previous, by=by)


def remove(connection: BoundedConnection, model: str, alias: str) -> None:
    """Remove an alias; its versions stay.

    Raises:
        ModelNotFound: the model has no such alias.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        gone = connection.execute("DELETE FROM aliases WHERE model = %s AND alias = %s", (model, alias)).rowcount
    if not gone:
        raise ModelNotFound(f"model {model!r} has no alias {alias!r}")


def _check(alias: str, targets: tuple[Target, ...]) -> None:
    check_alias_name(alias)
    if not 1 <= len(targets) <= MOST_TARGETS or len({target.version for target in targets}) != len(targets):
        raise InvalidParameter("targets", f"an alias names 1 to {MOST_TARGETS} versions, each once")
    if any(not 1 <= target.weight <= MOST_WEIGHT for target in targets):
        raise InvalidParameter("weight", f"a weight is a whole number from 1 to {MOST_WEIGHT}")


def _write(
    connection: BoundedConnection,
    model: str,
    alias: str,
    *,
    targets: tuple[Target, ...],
    previous: tuple[Target, ...],
    by: str,
) -> None:
    connection.execute(
        "INSERT INTO aliases (model, alias, previous, updated_by) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (model, alias) DO UPDATE SET previous = excluded.previous, updated_by = excluded.updated_by,"
        " updated_at = now()",
        (model, alias, Json([[target.version, target.weight] for target in previous]), by),
    )
    connection.execute("DELETE FROM alias_targets WHERE model = %s AND alias = %s", (model, alias))
    connection.execute(
        "INSERT INTO alias_targets (model, alias, version, weight) SELECT %s, %s, * FROM unnest(%s::int[], %s::int[])",
        (model, alias, [target.version for target in targets], [target.weight for target in targets]),
    )


def _read(connection: BoundedConnection, model: str | None, alias: str | None) -> list[Alias]:
    with translated():
        rows = connection.execute(
            "SELECT model, alias, targets, previous, updated_at, updated_by FROM aliases"
            " JOIN (SELECT model, alias, json_agg(json_build_array(version, weight) ORDER BY version) AS targets"
            "   FROM alias_targets GROUP BY model, alias) AS behind USING (model, alias)"
            " WHERE (%(model)s::text IS NULL OR model = %(model)s) AND (%(alias)s::text IS NULL OR alias = %(alias)s)"
            " ORDER BY model, alias",
            {"model": model, "alias": alias},
        ).fetchall()
    return [_alias(row) for row in rows]


def _alias(row: dict[str, Any]) -> Alias:
    return Alias(
        row["model"],
        row["alias"],
        tuple(Target(*pair) for pair in row["targets"]),
        tuple(Target(*pair) for pair in row["previous"] or []),
        row["updated_at"],
        row["updated_by"],
    )
