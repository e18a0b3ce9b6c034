"""How much memory a large model takes while it is published and loaded.

Two models of about 200 MB: neighbours, which are one large array, and a forest, which is many small ones. The peak is
what the process had at most beyond the same process with a small model of the same kind, for each byte that the large
one has more. Neither is compiled.
"""

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from ai_platform import settings as configuration
from ai_platform.models.loading.loader import Loader, LoaderSettings
from ai_platform.models.loading.signing import signer
from ai_platform.models.registry.manifest import Draft, encode
from ai_platform.models.registry.versions import Version
from ai_platform.models.validation.child import peak_bytes
from ai_platform.models.validation.validate import Validator
from ai_platform.runtimes.base.signature import Feature
from ai_platform.settings import Settings
from benchmarks import ROOT
from benchmarks.harness.figures import table
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target

MB = 1_000_000
SIZE, QUICK_SIZE, SMALL_SIZE = 200 * MB, 10 * MB, 2_500_000


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


def run(bench: Bench) -> Figures:
    """Peaks of both models, in bytes for each byte of the model and in all."""
    size = QUICK_SIZE if bench.options.quick else SIZE
    return {"models": [_measured(bench, make, size) for make in (neighbours, forest)]}


def _measured(bench: Bench, make: Any, large: int) -> Figures:
    name = make.__name__
    bench.begins(name)
    small_folder, folder = bench.folder / f"{name}-small", bench.folder / name
    small_size, small_peak, _ = published(small_folder, name, make(SMALL_SIZE))
    size, validation, seconds = published(folder, name, make(large))
    load, small_load = _loaded_peak(folder), _loaded_peak(small_folder)
    return {
        "name": name,
        "mb": round(size / MB),
        "validating": round((validation - small_peak) / (size - small_size), 2),
        "loading": round((load - small_load) / (size - small_size), 2),
        "validating_mb": round(validation / MB),
        "loading_mb": round(load / MB),
        "seconds": round(seconds, 1),
    }


def published(folder: Path, name: str, estimator: Any) -> tuple[int, int, float]:
    """Write, validate and sign a model; its size, the peak of the process that validates it, and its seconds."""
    folder.mkdir()
    artifact = folder / "artifact"
    with artifact.open("wb") as file:
        pickle.dump(estimator, file, protocol=5)
    inputs = tuple(Feature(name=f"x{number}", example=0.5) for number in range(estimator.n_features_in_))
    settings = _settings_in(folder)
    key = signer(settings.signing_key_file, settings.trusted_keys_dir)
    draft = Draft(model=name, format="sklearn-pickle", inputs=inputs)
    validation = Validator.of(settings).validate(artifact, draft, is_signed=True, workdir=folder)
    manifest = encode(validation.manifest)
    (folder / "manifest").write_bytes(manifest)
    (folder / "signature").write_bytes(key.sign(manifest))
    return validation.manifest.size, validation.report.peak_bytes, validation.report.seconds


def _settings_in(folder: Path) -> Settings:
    settings = configuration.load(data_dir=folder)
    models = settings.models.model_copy(update={"validation_seconds": 300.0, "compile_max_mb": 1})
    return settings.model_copy(update={"models": models})


def _loaded_peak(folder: Path) -> int:
    code = f"from benchmarks.scenarios import model_memory; model_memory.load({str(folder)!r})"
    command = [sys.executable, "-c", code]
    return int(subprocess.check_output(command, cwd=ROOT, timeout=300))


def load(place: str) -> None:
    """Load the model of a folder as a serving process does, and print the peak of resident memory in bytes."""
    folder = Path(place)

    def parts(_: bytes) -> Iterator[bytes]:
        with (folder / "artifact").open("rb") as file:
            while part := file.read(1 << 20):
                yield part

    with (folder / "artifact").open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
    encoded = (folder / "manifest").read_bytes()
    manifest = json.loads(encoded)
    version = Version(
        model=manifest["model"], version=1, sha256=sha256, format=manifest["format"], manifest=encoded,
        manifest_signature=(folder / "signature").read_bytes(), compiled_sha256=None, compiled_size=None, validation={},
        created_at=datetime.now(UTC), created_by="bench",
    )  # fmt: skip
    served = Loader(LoaderSettings.of(_settings_in(folder)), parts).load(version)
    assert served.form == "native"
    print(peak_bytes())


def write(figures: Figures) -> dict[str, Any]:
    """A line for each model."""
    names = ("name", "mb", "validating", "loading", "validating_mb", "loading_mb", "seconds")
    heads = ("Model | MB | validating, times its size | loading, times its size | validating, MB in all | "
             "loading, MB in all | seconds to validate")  # fmt: skip
    return {"table": table(heads, [[each[name] for name in names] for each in figures["models"]])}


TARGETS = (
    Target("Peak beside the model's size", "at most 2.3 times",
           lambda it: max(each[way] for each in it["models"] for way in ("validating", "loading")), at_most=2.3),
)  # fmt: skip
SCENARIO = Scenario(
    "model-memory", "Memory of a large model", run, write, "model-memory",
    models=(), servers="", rounds=1, wrk=False, targets=TARGETS,
)  # fmt: skip
