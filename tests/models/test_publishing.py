"""Publishing and loading: what is verified, what is refused, and that nothing unverified is ever executed."""

import hashlib
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from ai_platform.errors import ArtifactRefused, ModelNotFound
from ai_platform.models.loading.loader import Loader, LoaderSettings
from ai_platform.models.loading.signing import signer, verify
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.manifest import decode, encode
from ai_platform.settings import Settings
from ai_platform.storage.postgres import BoundedConnection, Database
from ai_platform.training.model_file import ModelFile
from harness import SAMPLE, Iris, Platform, eventually, publish_iris


@pytest.fixture
def connection(settings: Settings):  # type: ignore[no-untyped-def]
    with Database.of(settings).connect("test") as opened:
        yield opened


@pytest.fixture
def own_iris(iris: Iris, tmp_path: Path) -> Iris:
    """A copy of the model file that a test may spoil."""
    files = ModelFile.beside(tmp_path / "model.pkl")
    for source, copy in zip(_paths(iris.files), _paths(files), strict=True):
        shutil.copy(source, copy)
    return replace(iris, files=files)


def loader(settings: Settings, connection: BoundedConnection) -> Loader:
    return Loader(LoaderSettings.of(settings), lambda sha256: versions.artifact_parts(connection, sha256))


def resign(iris: Iris, **changes: object) -> None:
    """Change the manifest, and sign it again with the same trusted key."""
    manifest = msgspec.structs.replace(decode(iris.files.manifest.read_bytes()), **changes)
    iris.files.manifest.write_bytes(encode(manifest))
    iris.files.signature.write_bytes(signer(iris.signing_key, iris.keys).sign(encode(manifest)))


def test_versions_are_numbered_and_the_last_published_is_production(
    settings: Settings, connection: BoundedConnection, iris: Iris
) -> None:
    assert publish_iris(settings, iris) == 2
    assert publish_iris(settings, iris) == 3
    assert aliases.find(connection, "iris", aliases.PRODUCTION).targets == (aliases.Target(3),)


def test_a_published_version_loads_with_the_bytes_that_were_published(
    settings: Settings, connection: BoundedConnection, iris: Iris
) -> None:
    served = loader(settings, connection).load(versions.find(connection, "iris", 1))
    assert served.manifest.sha256 == decode(iris.files.manifest.read_bytes()).sha256
    assert served.loaded.predict([SAMPLE["features"]]).predictions == [0]


def test_a_version_that_does_not_exist_is_not_found(connection: BoundedConnection) -> None:
    with pytest.raises(ModelNotFound):
        versions.find(connection, "iris", 99)


def test_a_flipped_byte_is_refused_at_publishing(connection: BoundedConnection, own_iris: Iris) -> None:
    content = bytearray(own_iris.files.artifact.read_bytes())
    content[100] ^= 1
    resign(own_iris, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ArtifactRefused, match="not the ones"):
        publish(connection, own_iris)
    assert [version.version for version in versions.of_model(connection, "iris")] == [1]


def test_a_flipped_byte_in_the_database_is_refused_at_loading(
    settings: Settings, connection: BoundedConnection
) -> None:
    connection.execute("UPDATE artifact_chunks SET bytes = set_byte(bytes, 100, get_byte(bytes, 100) # 1)")
    with pytest.raises(ArtifactRefused, match="not the ones that were published"):
        loader(settings, connection).load(versions.find(connection, "iris", 1))


def test_a_flipped_byte_in_the_local_cache_is_replaced_from_the_store(
    settings: Settings, connection: BoundedConnection
) -> None:
    version = versions.find(connection, "iris", 1)
    loader(settings, connection).load(version)
    cached = settings.artifact_cache_dir / (version.compiled_sha256 or version.sha256).hex()
    content = bytearray(cached.read_bytes())
    content[-1] ^= 1
    cached.write_bytes(content)
    assert loader(settings, connection).load(version).version == 1


def test_a_link_in_the_local_cache_is_not_followed(
    settings: Settings, connection: BoundedConnection, iris: Iris
) -> None:
    version = versions.find(connection, "iris", 1)
    settings.artifact_cache_dir.mkdir(parents=True)
    cached = settings.artifact_cache_dir / (version.compiled_sha256 or version.sha256).hex()
    cached.symlink_to(iris.files.artifact)
    loader(settings, connection).load(version)
    assert not cached.is_symlink()


def test_a_pickle_that_would_run_a_command_is_not_opened_unless_a_trusted_key_signed_it(
    settings: Settings, connection: BoundedConnection, own_iris: Iris, tmp_path: Path
) -> None:
    trap = tmp_path / "executed"
    own_iris.files.artifact.write_bytes(pickle.dumps(_Trap(str(trap))))
    content = own_iris.files.artifact.read_bytes()
    stranger = replace(own_iris, keys=tmp_path / "strange-keys", signing_key=tmp_path / "strange" / "signing.pem")
    resign(stranger, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    version = publish(connection, stranger)
    with pytest.raises(ArtifactRefused, match="not trusted"):
        loader(settings, connection).load(versions.find(connection, "iris", version))
    assert not trap.exists()


@pytest.mark.parametrize("signature", [b"", b"ed25519", b"ed25519 0000 !!!", b"rsa 00 QUJD", b"\xff\xfe"])
def test_a_malformed_signature_is_refused(iris: Iris, signature: bytes) -> None:
    with pytest.raises(ArtifactRefused):
        verify(iris.files.manifest.read_bytes(), signature, iris.keys)


def test_a_changed_manifest_is_refused(iris: Iris) -> None:
    manifest = iris.files.manifest.read_bytes().replace(b"setosa", b"sedosa")
    with pytest.raises(ArtifactRefused, match="does not match"):
        verify(manifest, iris.files.signature.read_bytes(), iris.keys)


def test_a_model_that_does_not_reproduce_its_golden_outputs_is_refused(
    settings: Settings, connection: BoundedConnection, own_iris: Iris
) -> None:
    golden = decode(own_iris.files.manifest.read_bytes()).golden
    assert golden.probabilities is not None
    shifted = [[(number or 0.0) + 0.001 for number in row] for row in golden.probabilities]
    resign(own_iris, golden=msgspec.structs.replace(golden, probabilities=shifted))
    version = publish(connection, own_iris)
    with pytest.raises(ArtifactRefused, match="golden"):
        loader(settings, connection).load(versions.find(connection, "iris", version))


def test_an_unknown_format_is_refused(settings: Settings, connection: BoundedConnection, own_iris: Iris) -> None:
    resign(own_iris, format="shell-script")
    version = publish(connection, own_iris)
    with pytest.raises(ArtifactRefused, match="shell-script"):
        loader(settings, connection).load(versions.find(connection, "iris", version))


def test_the_signing_key_is_its_owners_alone(iris: Iris) -> None:
    assert iris.signing_key.stat().st_mode & 0o777 == 0o600
    assert iris.signing_key.parent != iris.files.artifact.parent


def test_the_api_takes_up_a_new_version_and_keeps_the_old_one_when_the_new_one_is_refused(
    settings: Settings, iris: Iris, own_iris: Iris
) -> None:
    with Platform.running(settings, "api") as platform:

        def served() -> int:
            return int(platform.client.post("/predict/", json=SAMPLE).json()["version"])

        assert served() == 1
        publish_iris(settings, iris)
        eventually(lambda: served() == 2, 5, "version 2 is served")
        resign(own_iris, format="shell-script")
        with Database.of(settings).connect("test") as connection:
            publish(connection, own_iris, aliases.PRODUCTION)
        eventually(lambda: "version not taken up" in platform.parts["api"].log.read_text(), 5, "version 3 is refused")
        assert served() == 2
        refused = platform.client.post("/models/iris/versions/3/predict", json=SAMPLE)
        assert (refused.status_code, refused.json()["code"]) == (503, "model_not_ready")
        assert platform.client.post("/models/iris/versions/1/predict", json=SAMPLE).json()["version"] == 1


def test_only_one_module_can_unpickle() -> None:
    source = Path(versions.__file__).parents[2]
    words = ("pickle.load", "pickle.Unpickler", "joblib.load", "cloudpickle", "allow_pickle=True", "dill.load")
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if any(word in path.read_text() for word in words)
    }
    assert found == {"runtimes/sklearn/pickle_format.py"}


def publish(connection: BoundedConnection, iris: Iris, alias: str | None = None) -> int:
    """Record a model file as it is, unvalidated."""
    signed = iris.files.signed()
    version = versions.add(connection, iris.files.artifact, signed.manifest, signed.signature, created_by="test")
    if alias is not None:
        aliases.point(connection, "iris", alias, (aliases.Target(version),), by="test")
    return version


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def _paths(files: ModelFile) -> tuple[Path, Path, Path]:
    return files.artifact, files.manifest, files.signature
