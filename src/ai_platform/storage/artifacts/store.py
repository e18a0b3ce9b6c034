"""What every store of artifacts does: it keeps immutable bytes by their sha256."""

from collections.abc import Iterable, Iterator
from typing import Protocol

CHUNK_BYTES = 1_048_576  # 1 MB a row: far below PostgreSQL's limits, and few enough rows for large models


class ArtifactMissing(LookupError):
    """The store holds no artifact of that sha256."""


class ArtifactMismatch(ValueError):
    """The bytes that were given are not those of the sha256 that was named."""


class ArtifactStore(Protocol):
    """Keeps immutable bytes by their sha256; each passes `tests/storage/test_artifact_stores.py`."""

    def put(self, sha256: bytes, parts: Iterable[bytes]) -> int:
        """Store bytes given in parts of any size; storing the same bytes again changes nothing.

        Args:
            sha256: what they are named by, 32 bytes.
            parts: the bytes; not read when they are stored already.

        Returns:
            Their size in bytes.

        Raises:
            ArtifactMismatch: their sha256 is another one; nothing is stored.
        """
        ...

    def read(self, sha256: bytes) -> Iterator[bytes]:
        """The bytes, in parts of at most `CHUNK_BYTES`.

        Raises:
            ArtifactMissing: nothing is stored under this sha256.
        """
        ...
