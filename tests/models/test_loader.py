"""What the one loader asks of a version that nobody signed."""

import os
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ai_platform import settings as configuration
from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.loader import Loader, LoaderSettings
from ai_platform.models.registry.manifest import decode, encode
from ai_platform.models.registry.versions import Version
from harness import Iris


class _Trap:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self._path}",)


@pytest.fixture
def load(iris: Iris, tmp_path: Path) -> Callable[[Version, bytes], Any]:
    settings = configuration.load(data_dir=tmp_path)
    models = settings.models.model_copy(update={"trusted_keys_dir": iris.keys})

    def loaded(version: Version, content: bytes) -> Any:
        def fetch(_: bytes) -> Iterator[bytes]:
            yield content

        return Loader(LoaderSettings.of(settings.model_copy(update={"models": models})), fetch).load(version)

    return loaded


def version_of(iris: Iris, content: bytes, *, signed: bool) -> Version:
    import hashlib

    described = decode(iris.files.manifest.read_bytes())
    sha256 = hashlib.sha256(content)
    manifest = iris.files.manifest.read_bytes()
    if content != iris.files.artifact.read_bytes():
        manifest = encode(msgspec.structs.replace(described, sha256=sha256.hexdigest(), size=len(content)))
    return Version(
        model="iris",
        version=1,
        sha256=sha256.digest(),
        format=described.format,
        manifest=manifest,
        manifest_signature=iris.files.signature.read_bytes() if signed else b"",
        compiled_sha256=None,
        compiled_size=None,
        validation={},
        created_at=datetime.now(UTC),
        created_by="test",
    )


def test_the_form_and_its_size_are_told(iris: Iris, load: Callable[[Version, bytes], Any]) -> None:
    content = iris.files.artifact.read_bytes()
    served = load(version_of(iris, content, signed=True), content)
    assert (served.form, served.bytes) == ("native", len(content))


def test_an_unsigned_pickle_is_not_opened(iris: Iris, load: Callable[[Version, bytes], Any], tmp_path: Path) -> None:
    content = pickle.dumps(_Trap(tmp_path / "executed"))
    with pytest.raises(ArtifactRefused, match="runs code when it is opened, and no trusted key has signed"):
        load(version_of(iris, content, signed=False), content)
    assert not (tmp_path / "executed").exists()


def test_other_bytes_than_those_of_the_version_are_not_opened(
    iris: Iris, load: Callable[[Version, bytes], Any], tmp_path: Path
) -> None:
    trap = pickle.dumps(_Trap(tmp_path / "executed"))
    with pytest.raises(ArtifactRefused, match="not the ones that were published"):
        load(version_of(iris, iris.files.artifact.read_bytes(), signed=True), trap)
    assert not (tmp_path / "executed").exists()
