"""The one loader: nothing becomes a model before hash and signer were checked on the very bytes that are opened."""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ai_platform.errors import ArtifactRefused, PlatformError
from ai_platform.models.manifest import Manifest, decode
from ai_platform.models.registry import Version
from ai_platform.models.signing import verify
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.runtime import LoadedModel

# How far a golden output may be from the manifest's; the same numbers computed on another machine differ in last bits.
GOLDEN_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A verified version in memory, ready to predict.

    Attributes:
        name: the model's name.
        version: its number.
        manifest: what was signed.
        loaded: the model itself.
    """

    name: str
    version: int
    manifest: Manifest
    loaded: LoadedModel


class Loader:
    """Verifies and loads versions.

    Args:
        cache_dir: folder of artifacts by sha256, made when missing; any content of it is verified at each load.
        trusted_keys_dir: public keys that may sign.
        fetch: gives an artifact's bytes in parts, by sha256 (the registry's, when the cache has none).
    """

    def __init__(self, cache_dir: Path, trusted_keys_dir: Path, fetch: Callable[[bytes], Iterator[bytes]]) -> None:
        self._cache_dir = cache_dir
        self._trusted_keys_dir = trusted_keys_dir
        self._fetch = fetch

    def load(self, version: Version) -> ServedModel:
        """Check the manifest's signature, the artifact's hash, load, and compare the golden outputs.

        Raises:
            ArtifactRefused: any of these fails; nothing of an unverified artifact was executed.
            StorageUnavailable: the artifact is not cached and PostgreSQL is away.
        """
        verify(version.manifest, version.manifest_signature, self._trusted_keys_dir)
        manifest = decode(version.manifest)
        if manifest.sha256 != version.sha256.hex() or manifest.model != version.model:
            raise ArtifactRefused(f"the manifest of {version.model} {version.version} describes another artifact")
        if manifest.format not in FORMATS:
            raise ArtifactRefused(f"format {manifest.format!r} is not one that this platform loads")
        try:
            with self._verified(version.sha256, manifest.size) as artifact:
                loaded = FORMATS[manifest.format].load(artifact, manifest.signature)
        except PlatformError:
            raise
        except Exception as error:
            raise ArtifactRefused(
                f"{version.model} {version.version} cannot be loaded: {type(error).__name__}"
            ) from error
        _check_golden(loaded, manifest)
        return ServedModel(version.model, version.version, manifest, loaded)

    def _verified(self, sha256: bytes, size: int) -> BinaryIO:
        path = self._cache_dir / sha256.hex()
        cached = _open_verified(path, sha256, size)
        if cached is not None:
            return cached
        self._fill_cache(path, sha256)
        fresh = _open_verified(path, sha256, size)
        if fresh is None:
            path.unlink(missing_ok=True)
            raise ArtifactRefused("the artifact's bytes are not the ones that were signed")
        return fresh

    def _fill_cache(self, path: Path, sha256: bytes) -> None:
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("wb") as file:
                for part in self._fetch(sha256):
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _open_verified(path: Path, sha256: bytes, size: int) -> BinaryIO | None:
    """The file at its start, verified through the descriptor that is returned; None when it is not those bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    file = os.fdopen(descriptor, "rb")
    if os.fstat(descriptor).st_size == size and hmac.compare_digest(
        hashlib.file_digest(file, "sha256").digest(), sha256
    ):
        file.seek(0)
        return file
    file.close()
    return None


def _check_golden(loaded: LoadedModel, manifest: Manifest) -> None:
    golden = manifest.golden
    outputs = loaded.predict(golden.rows)
    same = outputs.predictions == golden.predictions if manifest.signature.classes else True
    pairs = zip(
        _numbers(outputs.predictions, outputs.probabilities),
        _numbers(golden.predictions, golden.probabilities),
        strict=False,
    )
    if not same or any(abs(ours - theirs) > GOLDEN_TOLERANCE * max(1.0, abs(theirs)) for ours, theirs in pairs):
        raise ArtifactRefused(f"{manifest.model} does not reproduce the golden outputs of its manifest")


def _numbers(
    predictions: list[object] | list[float | int | str | bool | None], probabilities: list[list[float]] | None
) -> list[float]:
    plain = [float(value) for value in predictions if isinstance(value, int | float)]
    return plain + [number for row in probabilities or [] for number in row]
