"""Files that arrive over HTTP: kept in the artifact store for an hour, until somebody publishes them by their hash."""

import hashlib
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from ai_platform.errors import BodyTooLarge, UploadNotFound
from ai_platform.models.registry.versions import ARTIFACTS_LOCK, artifact_parts
from ai_platform.storage import postgres
from ai_platform.storage.artifacts import CHUNK_BYTES, ArtifactMissing, open_store
from ai_platform.storage.postgres import Database

KEPT = timedelta(hours=1)


class Upload:
    """One file on its way in: written to disk as it streams, hashed, bounded. A context that leaves nothing behind.

    Args:
        database: where it is kept.
        most_mb: largest file (`models.upload_mb`).
    """

    def __init__(self, database: Database, most_mb: int) -> None:
        self._database = database
        self._most_mb = most_mb
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="aip-upload-")  # noqa: SIM115  # closed by __exit__
        self.size = 0

    def __enter__(self) -> "Upload":
        return self

    def __exit__(self, *_error: Any) -> None:
        self._file.close()

    def write(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            BodyTooLarge: the file is larger than `models.upload_mb`.
        """
        self.size += len(part)
        if self.size > self._most_mb * 1_000_000:
            raise BodyTooLarge(f"a model file may have {self._most_mb} MB")
        self._digest.update(part)
        self._file.write(part)

    def keep(self) -> bytes:
        """Store the whole file.

        Returns:
            Its sha256, 32 bytes.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        self._file.seek(0)
        sha256 = self._digest.digest()
        with (
            self._database.connect("upload") as connection,
            postgres.translated(),
            connection.transaction(),
        ):
            connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (ARTIFACTS_LOCK,))
            open_store(connection).put(sha256, iter(lambda: self._file.read(CHUNK_BYTES), b""))
            connection.execute("UPDATE artifacts SET created_at = now() WHERE sha256 = %s", (sha256,))
        return sha256


def fetch(database: Database, sha256: bytes, path: Path) -> None:
    """Write an uploaded file to `path`.

    Raises:
        UploadNotFound: no file of that hash is kept.
        StorageUnavailable: PostgreSQL is away.
    """
    try:
        with database.connect("upload") as connection, path.open("xb") as file:
            for part in artifact_parts(connection, sha256):
                file.write(part)
    except ArtifactMissing:
        raise UploadNotFound("no file of that sha256 is kept here; POST it to /uploads first") from None
