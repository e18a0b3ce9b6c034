"""What every artifact store must do; a new store is a line in STORES."""

import hashlib
import os
from collections.abc import Callable, Iterator

import pytest

from ai_platform.settings import Settings
from ai_platform.storage import postgres
from ai_platform.storage.artifacts import CHUNK_BYTES, ArtifactMissing, ArtifactStore, PostgresArtifactStore
from ai_platform.storage.postgres import BoundedConnection

STORES: dict[str, Callable[[BoundedConnection], ArtifactStore]] = {"postgres": PostgresArtifactStore}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, settings: Settings) -> Iterator[ArtifactStore]:
    with postgres.connect(settings, "test") as connection:
        yield STORES[request.param](connection)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_put_is_read_byte_for_byte(store: ArtifactStore, size: int) -> None:
    content = os.urandom(size)
    sha256, stored = store.put([content])
    assert (sha256, stored) == (hashlib.sha256(content).digest(), size)
    assert b"".join(store.read(sha256)) == content


def test_parts_of_any_size_make_the_same_artifact(store: ArtifactStore) -> None:
    content = os.urandom(2 * CHUNK_BYTES + 17)
    whole, _ = store.put([content])
    parts, _ = store.put(content[start : start + 100_003] for start in range(0, len(content), 100_003))
    assert whole == parts


def test_putting_the_same_bytes_twice_changes_nothing(store: ArtifactStore) -> None:
    assert store.put([b"twice"]) == store.put([b"tw", b"ice"])
    assert b"".join(store.read(hashlib.sha256(b"twice").digest())) == b"twice"


def test_reading_gives_no_part_larger_than_a_chunk(store: ArtifactStore) -> None:
    sha256, _ = store.put([os.urandom(5 * CHUNK_BYTES // 2)])
    assert all(len(part) <= CHUNK_BYTES for part in store.read(sha256))


def test_what_was_never_put_is_missing(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactMissing):
        list(store.read(b"\0" * 32))


def test_a_put_that_breaks_off_leaves_nothing_behind(store: ArtifactStore) -> None:
    content = os.urandom(CHUNK_BYTES + 1)

    def breaking() -> Iterator[bytes]:
        yield content
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        store.put(breaking())
    with pytest.raises(ArtifactMissing):
        list(store.read(hashlib.sha256(content).digest()))
    assert store.put([b"after"])[1] == 5
