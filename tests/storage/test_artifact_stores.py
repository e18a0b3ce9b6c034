"""What every artifact store must do; a new store is a line in STORES."""

import hashlib
import os
from collections.abc import Callable, Iterator

import pytest

from ai_platform.settings import Settings
from ai_platform.storage.artifacts import (
    CHUNK_BYTES,
    ArtifactMismatch,
    ArtifactMissing,
    ArtifactStore,
)
from ai_platform.storage.artifacts.postgres_store import PostgresArtifactStore
from ai_platform.storage.postgres import BoundedConnection, Database

STORES: dict[str, Callable[[BoundedConnection], ArtifactStore]] = {"postgres": PostgresArtifactStore}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, settings: Settings) -> Iterator[ArtifactStore]:
    with Database.of(settings).connect("test") as connection:
        yield STORES[request.param](connection)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_put_is_read_byte_for_byte(store: ArtifactStore, size: int) -> None:
    content = os.urandom(size)
    assert store.put(_sha256(content), [content]) == size
    assert b"".join(store.read(_sha256(content))) == content


def test_parts_of_any_size_make_the_same_artifact(store: ArtifactStore) -> None:
    content = os.urandom(2 * CHUNK_BYTES + 17)
    store.put(_sha256(content), (content[start : start + 100_003] for start in range(0, len(content), 100_003)))
    assert b"".join(store.read(_sha256(content))) == content


def test_putting_the_same_bytes_twice_changes_nothing(store: ArtifactStore) -> None:
    sha256 = _sha256(b"twice")
    assert store.put(sha256, [b"twice"]) == store.put(sha256, [b"tw", b"ice"]) == 5
    assert b"".join(store.read(sha256)) == b"twice"


def test_bytes_that_are_not_those_of_their_name_are_not_stored(store: ArtifactStore) -> None:
    sha256 = _sha256(b"right")
    with pytest.raises(ArtifactMismatch):
        store.put(sha256, [b"wrong"])
    with pytest.raises(ArtifactMissing):
        list(store.read(sha256))
    assert store.put(sha256, [b"right"]) == 5


def test_reading_gives_no_part_larger_than_a_chunk(store: ArtifactStore) -> None:
    content = os.urandom(5 * CHUNK_BYTES // 2)
    store.put(_sha256(content), [content])
    assert all(len(part) <= CHUNK_BYTES for part in store.read(_sha256(content)))


def test_what_was_never_put_is_missing(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactMissing):
        list(store.read(b"\0" * 32))


def test_a_put_that_breaks_off_leaves_nothing_behind(store: ArtifactStore) -> None:
    content = os.urandom(CHUNK_BYTES + 1)

    def breaking() -> Iterator[bytes]:
        yield content
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        store.put(_sha256(content), breaking())
    with pytest.raises(ArtifactMissing):
        list(store.read(_sha256(content)))
    assert store.put(_sha256(b"after"), [b"after"]) == 5


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
