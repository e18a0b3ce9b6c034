"""Writing a trained model as a file with a signed manifest beside it."""

import hashlib
import os
import pickle
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ai_platform.models.loading.golden import record
from ai_platform.models.loading.signing import Signer
from ai_platform.models.registry.manifest import Manifest, encode
from ai_platform.models.validation.validate import Signed
from ai_platform.runtimes.sklearn.model import SklearnModel
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

    def signed(self) -> Signed:
        """The manifest with its signature, as they are on disk."""
        return Signed(self.manifest.read_bytes(), self.signature.read_bytes())

    @property
    def complete(self) -> bool:
        """Whether a manifest and its signature stand beside the artifact."""
        return self.manifest.is_file() and self.signature.is_file()


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
        golden=record(outputs, [list(row) for row in trained.sample]),
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
