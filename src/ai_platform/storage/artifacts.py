"""Artifact bytes, named by their sha256: the store's Protocol and the one that keeps them in PostgreSQL."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from ai_platform.storage.postgres import BoundedConnection

CHUNK_BYTES = 1_048_576  # 1 MB a row: far below PostgreSQL's limits, and few enough rows for large models


class ArtifactMissing(LookupError):
    """The store holds no artifact of that sha256."""


class ArtifactStore(Protocol):
    """Keeps immutable bytes by their sha256; each passes `tests/conformance/test_artifact_stores.py`."""

    def put(self, parts: Iterable[bytes]) -> tuple[bytes, int]:
        """Store bytes given in parts of any size; storing the same bytes again changes nothing.

        Returns:
            The sha256 (32 bytes) and the size in bytes.
        """
        ...

    def read(self, sha256: bytes) -> Iterator[bytes]:
        """The bytes, in parts of at most `CHUNK_BYTES`.

        Raises:
            ArtifactMissing: nothing is stored under this sha256.
        """
        ...


class PostgresArtifactStore:
    """Artifacts as rows of 1 MB: one backup has everything, and any number of machines can read them."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    def put(self, parts: Iterable[bytes]) -> tuple[bytes, int]:
        """Store bytes given in parts of any size; storing the same bytes again changes nothing."""
        # Chunks need the name of the whole, which is known at the end; so they wait under a random one.
        with self._connection.transaction():
            self._connection.execute(
                "CREATE TEMP TABLE IF NOT EXISTS incoming_chunks (number int, bytes bytea) ON COMMIT DELETE ROWS"
            )
            digest, size = hashlib.sha256(), 0
            for number, chunk in enumerate(_rechunked(parts)):
                digest.update(chunk)
                size += len(chunk)
                self._connection.execute("INSERT INTO incoming_chunks VALUES (%s, %s)", (number, chunk))
            sha256 = digest.digest()
            fresh = self._connection.execute(
                "INSERT INTO artifacts (sha256, size) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1",
                (sha256, size),
            ).fetchone()
            if fresh:
                self._connection.execute(
                    "INSERT INTO artifact_chunks SELECT %s, number, bytes FROM incoming_chunks", (sha256,)
                )
        return sha256, size

    def read(self, sha256: bytes) -> Iterator[bytes]:
        """The bytes, a chunk a query, so that no more than one is held at a time."""
        found = self._connection.execute("SELECT size FROM artifacts WHERE sha256 = %s", (sha256,)).fetchone()
        if found is None:
            raise ArtifactMissing(sha256.hex())
        for number in range(-(-int(found["size"]) // CHUNK_BYTES)):
            row = self._connection.execute(
                "SELECT bytes FROM artifact_chunks WHERE sha256 = %s AND number = %s", (sha256, number), binary=True
            ).fetchone()
            if row is None:
                raise ArtifactMissing(f"{sha256.hex()}, chunk {number}")
            yield bytes(row["bytes"])


def _rechunked(parts: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in parts:
        held += part
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)
