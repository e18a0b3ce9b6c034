"""The record of models and their immutable numbered versions; a deleted version keeps its number and its row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg.types.json import Json

from ai_platform.errors import ArtifactRefused, ModelNotFound, VersionInUse
from ai_platform.models.registry.manifest import decode
from ai_platform.models.registry.names import MODEL_NAME
from ai_platform.storage.artifacts import CHUNK_BYTES, ArtifactMismatch, open_store
from ai_platform.storage.postgres import BoundedConnection, translated

# Held shared by whoever stores artifacts until a version names them, alone by whoever deletes those that none names.
ARTIFACTS_LOCK = 7_104_002

_COLUMNS = """model, version, sha256, format, manifest, manifest_signature, compiled_sha256, compiled_size, validation,
    created_at, created_by"""


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version.

    Attributes:
        model: its model's name.
        version: its number, from 1.
        sha256: of its artifact, 32 bytes.
        format: a key of `runtimes.catalogue.FORMATS`.
        manifest: the signed bytes.
        manifest_signature: the line that `models.loading.signing` wrote; empty for an artifact of plain data.
        compiled_sha256: of its compiled form, 32 bytes; None when it is served as it is.
        compiled_size: of its compiled form, in bytes.
        validation: what validation found, as `models.validation.validate` reports it.
        created_at: when it was published.
        created_by: who published it.
    """

    model: str
    version: int
    sha256: bytes
    format: str
    manifest: bytes
    manifest_signature: bytes
    compiled_sha256: bytes | None
    compiled_size: int | None
    validation: dict[str, Any]
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One model.

    Attributes:
        name: its name.
        created_at: when its first version was published.
        versions: how many versions it has.
        latest: the highest number among them; None when all are deleted.
    """

    name: str
    created_at: datetime
    versions: int
    latest: int | None


def add(
    connection: BoundedConnection,
    artifact: Path,
    manifest: bytes,
    manifest_signature: bytes,
    *,
    created_by: str,
    compiled: tuple[bytes, Path] | None = None,
    validation: dict[str, Any] | None = None,
) -> int:
    """Store an artifact, and its compiled form if it has one, as the next version of its model.

    Args:
        connection: to PostgreSQL; the caller's transaction is joined if there is one.
        artifact: the file that the manifest describes.
        manifest: as it was signed.
        manifest_signature: its signature, or empty.
        created_by: who publishes it.
        compiled: sha256 (32 bytes) and file of the compiled form.
        validation: what validation found.

    Returns:
        The version's number.

    Raises:
        ArtifactRefused: the manifest does not describe these bytes, or names a model that cannot be.
        StorageUnavailable: PostgreSQL is away; nothing was added.
    """
    described = decode(manifest)
    if not MODEL_NAME.fullmatch(described.model):
        raise ArtifactRefused("a model's name has 1 to 63 of a-z, 0-9, _ and -, and starts with a letter or digit")
    with translated(), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (ARTIFACTS_LOCK,))
        _store(connection, bytes.fromhex(described.sha256), artifact)
        compiled_size = None if compiled is None else _store(connection, *compiled)
        connection.execute("INSERT INTO models (name) VALUES (%s) ON CONFLICT DO NOTHING", (described.model,))
        # The model's row is the lock under which the next number is taken.
        connection.execute("SELECT 1 FROM models WHERE name = %s FOR UPDATE", (described.model,))
        row = connection.execute(
            "INSERT INTO model_versions (model, version, sha256, format, manifest, manifest_signature,"
            " compiled_sha256, compiled_size, validation, created_by)"
            " SELECT %(model)s, coalesce(max(version), 0) + 1, %(sha256)s, %(format)s, %(manifest)s,"
            " %(signature)s, %(compiled)s, %(compiled_size)s, %(validation)s, %(by)s"
            " FROM model_versions WHERE model = %(model)s RETURNING version",
            {
                "model": described.model,
                "sha256": bytes.fromhex(described.sha256),
                "format": described.format,
                "manifest": manifest,
                "signature": manifest_signature,
                "compiled": None if compiled is None else compiled[0],
                "compiled_size": compiled_size,
                "validation": Json(validation or {}),
                "by": created_by,
            },
        ).fetchone()
    assert row is not None
    return int(row["version"])


def find(connection: BoundedConnection, model: str, version: int) -> Version:
    """One version.

    Raises:
        ModelNotFound: it does not exist, or was deleted.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM model_versions WHERE model = %s AND version = %s AND deleted_at IS NULL",  # noqa: S608  # columns are ours
            (model, version),
        ).fetchone()
    if row is None:
        raise ModelNotFound(f"model {model!r} has no version {version}")
    return Version(**row)


def of_model(connection: BoundedConnection, model: str) -> list[Version]:
    """The versions of a model, newest first.

    Raises:
        ModelNotFound: no such model.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM model_versions WHERE model = %s AND deleted_at IS NULL ORDER BY version DESC",  # noqa: S608  # columns are ours
            (model,),
        ).fetchall()
        known = rows or connection.execute("SELECT 1 FROM models WHERE name = %s", (model,)).fetchall()
    if not known:
        raise ModelNotFound(f"no model is named {model!r}")
    return [Version(**row) for row in rows]


def models(connection: BoundedConnection) -> list[ModelRecord]:
    """All models, by name.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        rows = connection.execute(
            "SELECT name, models.created_at, count(version) AS versions, max(version) AS latest FROM models"
            " LEFT JOIN model_versions ON model = name AND deleted_at IS NULL GROUP BY name ORDER BY name"
        ).fetchall()
    return [ModelRecord(**row) for row in rows]


def delete(connection: BoundedConnection, model: str, version: int, *, by: str) -> None:
    """Delete a version; its bytes go later, once no other version has the same.

    Args:
        connection: to PostgreSQL; the caller's transaction is joined if there is one.
        model: the model's name.
        version: its number.
        by: who deletes it.

    Raises:
        ModelNotFound: there is no such version.
        VersionInUse: an alias names it, or a job that has not ended is pinned to it.
        StorageUnavailable: PostgreSQL is away.
    """
    named = {"model": model, "version": version, "by": by}
    with translated(), connection.transaction():
        # Whoever points an alias to the version, or accepts a job for it, holds its row too.
        held = connection.execute(
            "SELECT 1 FROM model_versions WHERE model = %(model)s AND version = %(version)s AND deleted_at IS NULL"
            " FOR UPDATE",
            named,
        ).fetchone()
        if held is None:
            raise ModelNotFound(f"model {model!r} has no version {version}")
        alias = connection.execute(
            "SELECT alias FROM alias_targets WHERE model = %(model)s AND version = %(version)s LIMIT 1", named
        ).fetchone()
        if alias is not None:
            raise VersionInUse(
                f"alias {alias['alias']!r} names version {version}; point it elsewhere first, or remove it"
                f" (`ai-platform models unalias {model} {alias['alias']}`, or delete with --with-aliases)"
            )
        job = connection.execute(
            "SELECT 1 FROM jobs WHERE model = %(model)s AND version = %(version)s AND state IN ('queued', 'running')"
            " LIMIT 1",
            named,
        ).fetchone()
        if job is not None:
            raise VersionInUse(f"jobs that have not ended are pinned to version {version}")
        connection.execute(
            "UPDATE model_versions SET deleted_at = now(), deleted_by = %(by)s"
            " WHERE model = %(model)s AND version = %(version)s",
            named,
        )


def deleted_among(connection: BoundedConnection, versions: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those of the named versions that were deleted.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        rows = connection.execute(
            "SELECT model, version FROM model_versions JOIN unnest(%s::text[], %s::int[]) AS held (model, version)"
            " USING (model, version) WHERE deleted_at IS NOT NULL",
            ([model for model, _version in versions], [version for _model, version in versions]),
        ).fetchall()
    return [(row["model"], row["version"]) for row in rows]


def delete_unnamed_artifacts(connection: BoundedConnection, unused: timedelta) -> int:
    """Delete the bytes that no version names; nothing while somebody stores some.

    Args:
        connection: to PostgreSQL.
        unused: how old they must be: an upload is to be published within that time.

    Returns:
        How many artifacts went.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated(), connection.transaction():
        mine = connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", (ARTIFACTS_LOCK,)).fetchone()
        if mine is None or not mine["mine"]:
            return 0
        return connection.execute(
            "DELETE FROM artifacts WHERE created_at < now() - %s"
            " AND NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.deleted_at IS NULL"
            " AND (v.sha256 = artifacts.sha256 OR v.compiled_sha256 = artifacts.sha256))",
            (unused,),
        ).rowcount


def artifact_parts(connection: BoundedConnection, sha256: bytes) -> Iterator[bytes]:
    """The bytes of an artifact, in parts.

    Raises:
        ArtifactMissing: the store does not hold it.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        yield from open_store(connection).read(sha256)


def _store(connection: BoundedConnection, sha256: bytes, path: Path) -> int:
    try:
        return open_store(connection).put(sha256, _parts(path))
    except ArtifactMismatch:
        raise ArtifactRefused("the artifact's bytes are not the ones that its manifest describes") from None


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            yield part
