"""Publishing the costly model, in two kinds: one that costs by the row, and one that costs by the call."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from ai_platform.models.loading.signing import signer
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.manifest import Golden, Manifest, encode
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from harness import Iris

SOURCE = Path(__file__).with_name("costly.py")
SECONDS = 0.02


def publish_costly(
    settings: Settings, iris: Iris, name: str = "costly", *, by_call: bool = False, hard_limit: float | None = None
) -> None:
    """Signed, and not validated: that takes seconds.

    Args:
        settings: of the platform that is to serve it.
        iris: whose key signs it.
        name: of the model.
        by_call: a call costs what its costliest row does, so that rows are cheaper together.
        hard_limit: seconds that one call may take.
    """
    text = SOURCE.read_text(encoding="utf-8")
    artifact = settings.data_dir / f"{name}.py"
    artifact.write_text(text.replace("together = sum", "together = max") if by_call else text, encoding="utf-8")
    source = artifact.read_bytes()
    features = tuple(Feature(name=each, example=0.0) for each in ("number", "trouble", "seconds"))
    manifest = encode(
        Manifest(
            model=name,
            format="python",
            sha256=hashlib.sha256(source).hexdigest(),
            size=len(source),
            signature=Signature(inputs=features),
            libraries=FORMATS["python"].libraries(),
            metrics={},
            golden=Golden([[1.0, 0.0, SECONDS], [2.0, 0.0, 0.0]], [2.0, 4.0]),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            hard_limit_seconds=hard_limit,
        )
    )
    signature = signer(iris.signing_key, iris.keys).sign(manifest)
    with Database.of(settings).connect("test") as connection:
        version = versions.add(connection, artifact, manifest, signature, created_by="test")
        aliases.point(connection, name, aliases.PRODUCTION, (aliases.Target(version),), by="test")
