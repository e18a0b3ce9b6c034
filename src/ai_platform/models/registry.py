"""The record of models, immutable numbered versions, and the aliases that point to them."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ai_platform.errors import ArtifactRefused, ModelNotFound
from ai_platform.models.manifest import decode
from ai_platform.storage.artifacts import CHUNK_BYTES, PostgresArtifactStore
from ai_platform.storage.postgres import BoundedConnection, translated

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version.

    Attributes:
        model: its model's name.
        version: its number, from 1.
        sha256: of its artifact, 32 bytes.
        format: a key of `runtimes.catalogue.FORMATS`.
        manifest: the signed bytes.
        manifest_signature: the line that `models.signing` wrote; empty when nobody signed it.
        compiled_sha256: of its compiled form, 32 bytes; None when the native form is served.
        compiled_size: of its compiled form, in bytes.
        proof: what proving found, as `models.proof.ProofReport`.
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
    proof: dict[str, Any]
    created_at: datetime
    created_by: str


def publish(
    connection: BoundedConnection,
    artifact: Path,
    manifest: bytes,
    manifest_signature: bytes,
    *,
    created_by: str,
    alias: str = PRODUCTION,
) -> int:
    """Store an artifact as the next version of its model, and point an alias to it.

    Returns:
        The version's number.

    Raises:
        ArtifactRefused: the manifest does not describe these bytes, or names a model that cannot be.
        StorageUnavailable: PostgreSQL is away; nothing was published.
    """
    described = decode(manifest)
    sha256 = bytes.fromhex(described.sha256)
    if not MODEL_NAME.fullmatch(described.model):
        raise ArtifactRefused("a model's name has 1 to 63 of a-z, 0-9, _ and -, and starts with a letter or digit")
    # A store that holds the named bytes already does not read these.
    with artifact.open("rb") as file:
        if hashlib.file_digest(file, "sha256").digest() != sha256:
            raise ArtifactRefused("the artifact's bytes are not the ones that its manifest describes")
    with translated(), connection.transaction():
        PostgresArtifactStore(connection).put(sha256, _parts(artifact))
        connection.execute("INSERT INTO models (name) VALUES (%s) ON CONFLICT DO NOTHING", (described.model,))
        # The model's row is the lock under which the next number is taken.
        connection.execute("SELECT 1 FROM models WHERE name = %s FOR UPDATE", (described.model,))
        row = connection.execute(
            "INSERT INTO model_versions (model, version, sha256, format, manifest, manifest_signature, created_by)"
            " SELECT %(model)s, coalesce(max(version), 0) + 1, %(sha256)s, %(format)s, %(manifest)s,"
            " %(signature)s, %(by)s"
            " FROM model_versions WHERE model = %(model)s RETURNING version",
            {
                "model": described.model,
                "sha256": sha256,
                "format": described.format,
                "manifest": manifest,
                "signature": manifest_signature,
                "by": created_by,
            },
        ).fetchone()
        assert row is not None
        point(connection, described.model, alias, int(row["version"]))
        return int(row["version"])


def point(connection: BoundedConnection, model: str, alias: str, version: int) -> None:
    """Let an alias name a version, in the caller's transaction if there is one."""
    connection.execute(
        "INSERT INTO aliases (model, alias) VALUES (%s, %s)"
        " ON CONFLICT (model, alias) DO UPDATE SET updated_at = now()",
        (model, alias),
    )
    connection.execute("DELETE FROM alias_targets WHERE model = %s AND alias = %s", (model, alias))
    connection.execute("INSERT INTO alias_targets VALUES (%s, %s, %s)", (model, alias, version))


def production_versions(connection: BoundedConnection) -> dict[str, int]:
    """Each model's name with the version that `production` names.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        rows = connection.execute("SELECT model, version FROM alias_targets WHERE alias = %s", (PRODUCTION,)).fetchall()
    return {row["model"]: row["version"] for row in rows}


def find(connection: BoundedConnection, model: str, version: int) -> Version:
    """One version.

    Raises:
        ModelNotFound: it does not exist.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        row = connection.execute(
            "SELECT model, version, sha256, format, manifest, manifest_signature,"
            " compiled_sha256, compiled_size, proof, created_at, created_by"
            " FROM model_versions WHERE model = %s AND version = %s",
            (model, version),
        ).fetchone()
    if row is None:
        raise ModelNotFound(f"model {model!r} has no version {version}")
    return Version(**row)


def artifact_parts(connection: BoundedConnection, sha256: bytes) -> Iterator[bytes]:
    """The bytes of an artifact, in parts.

    Raises:
        ArtifactMissing: the store does not hold it.
        StorageUnavailable: PostgreSQL is away.
    """
    with translated():
        yield from PostgresArtifactStore(connection).read(sha256)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            yield part
