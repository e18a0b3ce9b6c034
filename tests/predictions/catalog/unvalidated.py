"""Models put into the registry past publishing, as an older platform or another check might have let them in."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression

from ai_platform.models.loading.signing import signer
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.announcements import announce
from ai_platform.models.registry.manifest import Golden, Manifest, encode
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis
from harness import Iris

ROW, ANSWER = [3.0], 6.0
_DOUBLES = "class Model:\n    inputs = ['a']\n\n    def predict(self, rows):\n"
_COUNTS = "calls = 0\n\n\n" + _DOUBLES + "        global calls\n        calls += len(rows)\n"


def _graph(rows: int | None) -> bytes:
    """Doubles its input; of so many rows, or of any number."""
    x = np.arange(8, dtype=np.float32).reshape(-1, 1)
    fitted = LinearRegression().fit(x, 2 * x[:, 0])
    found: bytes = to_onnx(fitted, initial_types=[("a", FloatTensorType([rows, 1]))]).SerializeToString()
    return found


Make = Callable[[], tuple[str, bytes]]

HEALTHY: dict[str, Make] = {
    "onnx": lambda: ("onnx", _graph(None)),
    "python": lambda: ("python", (_DOUBLES + "        return [row[0] * 2 for row in rows]\n").encode()),
    "frozen": lambda: ("onnx", _graph(1)),
}
# What each does wrong, and a word of the reason that must be named.
BAD: dict[str, Make] = {
    "dies": lambda: ("python", b"import os\nos._exit(3)\n"),
    "hangs": lambda: ("python", b"while True:\n    pass\n"),
    "fills": lambda: ("python", b"kept = []\nwhile True:\n    kept.append(bytearray(10_000_000))\n"),
    "exits": lambda: ("python", b"raise SystemExit(1)\n"),
    "short": lambda: ("python", (_DOUBLES + "        return [rows[0][0] * 2]\n").encode()),
    "corrupt": lambda: ("onnx", b"these bytes are no graph" * 40),
    "two": lambda: (
        "python",
        (_DOUBLES + "        assert len(rows) == 1\n        return [rows[0][0] * 2]\n").encode(),
    ),
    "tires": lambda: (
        "python",
        (_COUNTS + "        assert calls < 800\n        return [row[0] * 2 for row in rows]\n").encode(),
    ),
    "drops": lambda: (
        "python",
        (
            "import os\n"
            + _COUNTS
            + "        calls < 800 or os._exit(4)\n        return [row[0] * 2 for row in rows]\n"
        ).encode(),
    ),
}
# Those whose fault shows only after some calls.
LATER = frozenset({"tires", "drops"})


def put(settings: Settings, iris: Iris, name: str, form: str, source: bytes) -> int:
    """Sign and record a model as it is, and make it production.

    Returns:
        Its version's number.
    """
    artifact = settings.data_dir / f"{name}.artifact"
    artifact.write_bytes(source)
    manifest = encode(
        Manifest(
            model=name,
            format=form,
            sha256=hashlib.sha256(source).hexdigest(),
            size=len(source),
            signature=Signature(inputs=(Feature(name="a", example=ROW[0]),)),
            libraries=FORMATS[form].libraries(),
            metrics={},
            golden=Golden([[*ROW]], [ANSWER]),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    )
    signature = signer(iris.signing_key, iris.keys).sign(manifest)
    with Database.of(settings).connect("test") as connection:
        version = versions.add(connection, artifact, manifest, signature, created_by="test")
        aliases.point(connection, name, aliases.PRODUCTION, (aliases.Target(version),), by="test")
    announce(Redis.of(settings), name)
    return version


def named(kinds: Sequence[str], count: int, prefix: str) -> dict[str, str]:
    """So many names, each with its kind, the kinds in turn."""
    return {f"{prefix}-{number:02}-{kinds[number % len(kinds)]}": kinds[number % len(kinds)] for number in range(count)}
