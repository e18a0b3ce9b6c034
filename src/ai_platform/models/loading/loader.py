"""The one loader: nothing becomes a model before hash and signer were checked on the very bytes that are opened."""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from ai_platform.errors import ArtifactRefused, PlatformError
from ai_platform.models.loading import golden
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.signing import verify
from ai_platform.models.loading.trust import require_trusted
from ai_platform.models.registry.manifest import COMPILED_FORMAT, Manifest, decode
from ai_platform.models.registry.versions import Version
from ai_platform.runtimes.base.runtime import LoadedModel
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import Settings

Form = Literal["compiled", "native"]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A verified version in memory, ready to predict.

    Attributes:
        name: the model's name.
        version: its number.
        manifest: what was signed.
        loaded: the model itself.
        form: which of its forms this is.
        bytes: size of the artifact of that form, by which memory is reckoned.
    """

    name: str
    version: int
    manifest: Manifest
    loaded: LoadedModel
    form: Form
    bytes: int


class LoaderSettings(msgspec.Struct, array_like=True, frozen=True):
    """Where artifacts are, and whom and what a loader trusts.

    Attributes:
        cache_dir: folder of artifacts by sha256, made when missing; whatever it holds is verified at each load.
        trusted_keys_dir: folder of the public keys that may sign.
        trusted_types: types in skops files that need no signature.
    """

    cache_dir: str
    trusted_keys_dir: str
    trusted_types: list[str]

    @classmethod
    def of(cls, settings: Settings) -> "LoaderSettings":
        """What the platform's settings say of it."""
        cache, keys = settings.artifact_cache_dir.absolute(), settings.trusted_keys_dir.absolute()
        return cls(str(cache), str(keys), settings.models.skops_trusted_types)


class Loader:
    """Verifies and loads versions.

    A version that was compiled is served in its compiled form and in no other: its native artifact is neither fetched
    nor opened here.

    Args:
        settings: where artifacts are, and who and what is trusted.
        fetch: gives an artifact's bytes in parts, by sha256 (the registry's, when the folder has none).
    """

    def __init__(self, settings: LoaderSettings, fetch: Callable[[bytes], Iterator[bytes]]) -> None:
        self._cache_dir = Path(settings.cache_dir)
        self._trusted_keys_dir = Path(settings.trusted_keys_dir)
        self._operator_types = settings.trusted_types
        self._fetch = fetch

    def read(self, version: Version) -> Manifest:
        """Check the manifest's signature, and have the artifact in the folder; nothing of it is opened.

        Raises:
            ArtifactRefused: the manifest or the artifact is not what was published.
            StorageUnavailable: the artifact is not cached and PostgreSQL is away.
        """
        manifest = self._manifest(version)
        self._verified(version.sha256, manifest.size).close()
        return manifest

    def load(self, version: Version) -> ServedModel:
        """Check the manifest's signature, the artifact's hash, load, and compare the golden outputs.

        Raises:
            ArtifactRefused: any of these fails; nothing of an unverified artifact was executed.
            StorageUnavailable: the artifact is not cached and PostgreSQL is away.
        """
        signed = bool(version.manifest_signature)
        manifest = self._manifest(version)
        try:
            if version.compiled_sha256 is not None and version.compiled_size is not None:
                return self._compiled(version, manifest, version.compiled_sha256, version.compiled_size)
            return self._native(version, manifest, signed=signed)
        except PlatformError:
            raise
        except BaseException as error:  # a model's code may raise anything, SystemExit too
            raise ArtifactRefused(f"{version.model} {version.version} cannot be loaded: {error_text(error)}") from error

    def _manifest(self, version: Version) -> Manifest:
        if version.manifest_signature:
            verify(version.manifest, version.manifest_signature, self._trusted_keys_dir)
        manifest = decode(version.manifest)
        if manifest.sha256 != version.sha256.hex() or manifest.model != version.model:
            raise ArtifactRefused(f"the manifest of {version.model} {version.version} describes another artifact")
        if manifest.format not in FORMATS:
            raise ArtifactRefused(f"format {manifest.format!r} is not one that this platform loads")
        return manifest

    def _native(self, version: Version, manifest: Manifest, *, signed: bool) -> ServedModel:
        runtime = FORMATS[manifest.format]
        with self._verified(version.sha256, manifest.size) as artifact:
            if not signed:
                untrusted = runtime.untrusted_types(artifact)
                require_trusted(manifest.format, untrusted, signed=False, operator_types=self._operator_types)
                artifact.seek(0)
            loaded = runtime.load(artifact, manifest.signature)
        golden.check(loaded, manifest)
        return ServedModel(version.model, version.version, manifest, loaded, "native", manifest.size)

    def _compiled(self, version: Version, manifest: Manifest, sha256: bytes, size: int) -> ServedModel:
        with self._verified(sha256, size) as artifact:
            loaded = FORMATS[COMPILED_FORMAT].load(artifact, manifest.signature)
        golden.check(loaded, manifest, golden.COMPILED_TOLERANCE)
        return ServedModel(version.model, version.version, manifest, loaded, "compiled", size)

    def _verified(self, sha256: bytes, size: int) -> BinaryIO:
        path = self._cache_dir / sha256.hex()
        cached = _open_verified(path, sha256, size)
        if cached is not None:
            return cached
        self._fill_cache(path, sha256)
        fresh = _open_verified(path, sha256, size)
        if fresh is None:
            path.unlink(missing_ok=True)
            raise ArtifactRefused("the artifact's bytes are not the ones that were published")
        return fresh

    def _fill_cache(self, path: Path, sha256: bytes) -> None:
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
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
