"""What somebody with a stolen admin key gets the platform to execute: nothing, by whatever way a model comes in."""

import hashlib
import pickle
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from access.conftest import Guarded
from ai_platform.models.loading.signing import signer
from ai_platform.models.registry.manifest import Golden, Manifest, encode
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.storage import audit
from ai_platform.storage.postgres import Database

pytestmark = pytest.mark.slow

OCTETS = {"Content-Type": "application/octet-stream"}
INPUTS = (Feature(name="x", example=1.0),)


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


def bombs(trap: Path) -> dict[str, bytes]:
    """Files that make another file when they are loaded, by format."""
    source = (
        f"open({str(trap)!r}, 'w')\nclass Model:\n    def predict(self, rows):\n        return [0.0 for _ in rows]\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skops_file = skops.io.dumps(FunctionTransformer(func=Path.touch, kw_args={"self": trap}))
    return {"sklearn-pickle": pickle.dumps(Bomb(trap)), "python": source.encode(), "sklearn-skops": skops_file}


def described(content: bytes, form: str) -> bytes:
    return encode(
        Manifest(
            model="iris",
            format=form,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            signature=Signature(inputs=INPUTS),
            libraries={},
            metrics={},
            golden=Golden([[1.0]], [0.0]),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    )


@pytest.mark.parametrize("form", ["sklearn-pickle", "python", "sklearn-skops"])
def test_a_stolen_admin_key_cannot_make_the_platform_execute_code(guarded: Guarded, tmp_path: Path, form: str) -> None:
    trap = tmp_path / "executed"
    content = bombs(trap)[form]
    manifest = described(content, form)
    strange = signer(tmp_path / "private" / "signing.pem", tmp_path / "keys")
    sent = guarded.call("POST", "/uploads", "admin", content=content, headers=OCTETS)
    assert sent.status_code == 201, sent.text
    ways: list[dict[str, Any]] = [
        {"format": form},
        {"format": "onnx"},
        {"manifest": manifest.decode(), "manifest_signature": ""},
        {"manifest": manifest.decode(), "manifest_signature": strange.sign(manifest).decode()},
    ]
    for way in ways:
        body = {"sha256": sent.json()["sha256"], **way}
        answer = guarded.call("POST", "/models/iris/versions", "admin", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "artifact_refused"), answer.text
    assert not trap.exists()
    with Database.of(guarded.settings).connect("test") as connection:
        entries = audit.entries(connection, limit=len(ways))
    assert {(entry.action, entry.outcome) for entry in entries} == {("model.publish", "refused")}
