"""How much memory a large model takes while it is published and loaded: `make bench-model-memory`.

Two models of about 200 MB: neighbours, which are one large array, and a forest, which is many small ones. The peak is
what the process had at most beyond the same process with a small model of the same kind, for each byte that the large
one has more. Neither is compiled.
Writes docs/benchmarks/model-memory.md, and fails when a peak is above the bound.
"""

import hashlib
import json
import pickle
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from ai_platform import settings as configuration
from ai_platform.models.loader import Loader
from ai_platform.models.manifest import Draft, encode
from ai_platform.models.proving import prove
from ai_platform.models.registry import Version
from ai_platform.models.signing import signer
from ai_platform.runtimes.signature import Feature
from ai_platform.settings import Settings

ROOT = Path(__file__).parents[2]
BOUND = 2.3
SIZE, SMALL_SIZE = 200_000_000, 2_500_000
MB = 1_000_000


def neighbours(size: int) -> Any:
    rows = np.random.default_rng(0).random((size // 8 // 50, 50))
    return KNeighborsClassifier(3, algorithm="brute").fit(rows, np.arange(len(rows)) % 2)


def forest(size: int) -> Any:
    """Of labels that cannot be learnt, so that trees grow to their full size: about 1.4 MB each."""
    rng = np.random.default_rng(0)
    count = 40_000
    trees = round(size / 1_370_000)
    return RandomForestClassifier(trees, random_state=0, n_jobs=2).fit(
        rng.random((count, 8)), rng.integers(2, size=count)
    )


def settings_in(folder: Path) -> Settings:
    settings = configuration.load(data_dir=folder)
    return settings.model_copy(
        update={"models": settings.models.model_copy(update={"prove_seconds": 300.0, "compile_max_mb": 1})}
    )


def prepared(folder: Path, name: str, estimator: Any) -> tuple[int, int, float]:
    """Write, prove and sign a model; its size, the child's peak, and its seconds."""
    folder.mkdir()
    artifact = folder / "artifact"
    with artifact.open("wb") as file:
        pickle.dump(estimator, file, protocol=5)
    inputs = tuple(Feature(name=f"x{number}", example=0.5) for number in range(estimator.n_features_in_))
    settings = settings_in(folder)
    key = signer(settings.signing_key_file, settings.trusted_keys_dir)
    draft = Draft(model=name, format="sklearn-pickle", inputs=inputs)
    proof = prove(artifact, draft, settings, vouched=True, workdir=folder)
    manifest = encode(proof.manifest)
    (folder / "manifest").write_bytes(manifest)
    (folder / "signature").write_bytes(key.sign(manifest))
    return proof.manifest.size, proof.report.peak_bytes, proof.report.seconds


def version_in(folder: Path) -> Version:
    with (folder / "artifact").open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
    manifest = json.loads((folder / "manifest").read_bytes())
    return Version(
        model=manifest["model"], version=1, sha256=sha256, format=manifest["format"],
        manifest=(folder / "manifest").read_bytes(), manifest_signature=(folder / "signature").read_bytes(),
        compiled_sha256=None, compiled_size=None, proof={}, created_at=datetime.now(UTC), created_by="bench",
    )  # fmt: skip


def load(folder: Path) -> None:
    """Load the model of a folder as a serving process does, and print the peak of resident memory in bytes."""

    def parts(_: bytes) -> Any:
        with (folder / "artifact").open("rb") as file:
            while part := file.read(1 << 20):
                yield part

    version = version_in(folder)
    served = Loader(settings_in(folder), parts).load(version)
    assert served.form == "native"
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")))


def loaded_peak(folder: Path) -> int:
    return int(subprocess.check_output([sys.executable, __file__, str(folder)], timeout=300))


def measured(folder: Path, name: str, make: Any) -> list[str]:
    small, large = folder / f"{name}-small", folder / name
    small_size, small_proof, _ = prepared(small, name, make(SMALL_SIZE))
    size, proof, seconds = prepared(large, name, make(SIZE))
    small_load, load_peak = loaded_peak(small), loaded_peak(large)
    times = [
        (peak - small_peak) / (size - small_size)
        for peak, small_peak in ((proof, small_proof), (load_peak, small_load))
    ]
    assert max(times) <= BOUND, f"{name}: {times}"
    megabytes = [f"{count / MB:.0f}" for count in (size, proof, load_peak)]
    return [name, megabytes[0], *(f"{one:.2f}" for one in times), *megabytes[1:], f"{seconds:.1f}"]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = [measured(Path(name), made, make) for made, make in (("neighbours", neighbours), ("forest", forest))]
    heads = ["model", "MB", "proving, times its size", "loading, times its size", "proving, MB in all",
             "loading, MB in all", "seconds to prove"]  # fmt: skip
    table = "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])
    text = (
        "# Memory of a large model\n\nWritten by `make bench-model-memory`: the largest resident memory of the process"
        " that proves a model, and of a process that loads it to serve, beyond the same process with a small model of"
        f" the same kind, for each byte that it has more; neither is compiled. The bound is"
        f" {BOUND} times the model's size.\n\n{table}\n\n{datetime.now(UTC):%Y-%m-%d}, two cores.\n"
    )
    Console().print(text, markup=False)
    (ROOT / "docs" / "benchmarks" / "model-memory.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    load(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
