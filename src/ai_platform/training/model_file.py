"""Writing a trained model as a file with a signed manifest beside it, and publishing that file."""

import getpass
import hashlib
import os
import pickle
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ai_platform.models import registry
from ai_platform.models.manifest import Golden, Manifest, encode
from ai_platform.models.signing import Signer
from ai_platform.runtimes.estimators import SklearnModel
from ai_platform.storage.postgres import BoundedConnection
from ai_platform.training.iris import Trained


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file and what stands beside it.

    Attributes:
        artifact: the model itself (`model.pkl`).
        manifest: `model.pkl.manifest.json`.
        signature: `model.pkl.manifest.sig`.
    """

    artifact: Path
    manifest: Path
    signature: Path

    @classmethod
    def beside(cls, artifact: Path) -> "ModelFile":
        """The three files that belong to an artifact's path."""
        return cls(
            artifact,
            artifact.with_name(f"{artifact.name}.manifest.json"),
            artifact.with_name(f"{artifact.name}.manifest.sig"),
        )


def write(trained: Trained, path: Path, signer: Signer) -> ModelFile:
    """Pickle an estimator to `path`, and write its manifest and signature beside it; each file appears whole."""
    artifact = pickle.dumps(trained.estimator, protocol=5)
    files = ModelFile.beside(path)
    manifest = encode(_describe(trained, artifact))
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(files.artifact, artifact)
    _write_whole(files.manifest, manifest)
    _write_whole(files.signature, signer.sign(manifest))
    return files


def publish(connection: BoundedConnection, files: ModelFile) -> int:
    """Publish a written model as the next version of its name, and make it `production`.

    Returns:
        The version's number.

    Raises:
        ArtifactRefused: the files do not belong together.
        StorageUnavailable: PostgreSQL is away.
    """
    return registry.publish(
        connection,
        files.artifact,
        files.manifest.read_bytes(),
        files.signature.read_bytes(),
        created_by=_person(),
    )


def _describe(trained: Trained, artifact: bytes) -> Manifest:
    outputs = SklearnModel(trained.estimator, trained.signature).predict(trained.sample)
    return Manifest(
        model=trained.name,
        format="sklearn-pickle",
        sha256=hashlib.sha256(artifact).hexdigest(),
        size=len(artifact),
        signature=trained.signature,
        libraries=_libraries(),
        metrics=trained.metrics,
        golden=Golden([list(row) for row in trained.sample], outputs.predictions, outputs.probabilities),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _libraries() -> dict[str, str]:
    import numpy as np
    import sklearn

    return {"python": platform.python_version(), "scikit-learn": sklearn.__version__, "numpy": np.__version__}


def _write_whole(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"
