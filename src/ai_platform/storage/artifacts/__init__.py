"""Artifact bytes, named by their sha256: the interface of a store, a file each, and the one place that opens one."""

from ai_platform.storage.artifacts.postgres_store import PostgresArtifactStore
from ai_platform.storage.artifacts.store import CHUNK_BYTES, ArtifactMismatch, ArtifactMissing, ArtifactStore
from ai_platform.storage.postgres import BoundedConnection

__all__ = ["CHUNK_BYTES", "ArtifactMismatch", "ArtifactMissing", "ArtifactStore", "open_store"]


def open_store(connection: BoundedConnection) -> ArtifactStore:
    """The store of this platform, for as long as a connection to PostgreSQL lives."""
    return PostgresArtifactStore(connection)
