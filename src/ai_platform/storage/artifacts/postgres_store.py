"""Artifacts as rows of PostgreSQL."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator

from ai_platform.storage.artifacts.store import CHUNK_BYTES, ArtifactMismatch, ArtifactMissing
from ai_platform.storage.postgres import BoundedConnection


class PostgresArtifactStore:
    """Artifacts as rows of 1 MB: one backup has everything, and any number of machines can read them."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    def put(self, sha256: bytes, parts: Iterable[bytes]) -> int:
        """Store bytes given in parts of any size; storing the same bytes again changes nothing."""
        with self._connection.transaction():
            fresh = self._connection.execute(
                "INSERT INTO artifacts (sha256, size) VALUES (%s, 0) ON CONFLICT DO NOTHING RETURNING 1", (sha256,)
            ).fetchone()
            if fresh is None:
                return self._size(sha256)
            digest, size = hashlib.sha256(), 0
            for number, chunk in enumerate(_rechunked(parts)):
                digest.update(chunk)
                size += len(chunk)
                self._connection.execute("INSERT INTO artifact_chunks VALUES (%s, %s, %s)", (sha256, number, chunk))
            if not hmac.compare_digest(digest.digest(), sha256):
                raise ArtifactMismatch("the bytes are not the ones that were named")
            self._connection.execute("UPDATE artifacts SET size = %s WHERE sha256 = %s", (size, sha256))
        return size

    def _size(self, sha256: bytes) -> int:
        found = self._connection.execute("SELECT size FROM artifacts WHERE sha256 = %s", (sha256,)).fetchone()
        if found is None:
            raise ArtifactMissing(sha256.hex())
        return int(found["size"])

    def read(self, sha256: bytes) -> Iterator[bytes]:
        """The bytes, a chunk a query, so that no more than one is held at a time."""
        for number in range(-(-self._size(sha256) // CHUNK_BYTES)):
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
