"""Memory of an API process: with iris alone, and with 20 models: `python benchmarks/scenarios/api_memory.py`.

5 logistic regressions, 5 pipelines of numbers, categories and missing values, 10 forests of 100 trees, each
published as a user would, each asked for predictions. PSS from `/proc/PID/smaps_rollup`, after a second of quiet. It
writes docs/benchmarks/api-memory.md.
"""

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from ai_platform import settings as configuration  # noqa: E402
from ai_platform.local.servers import running_servers  # noqa: E402
from ai_platform.settings import Settings  # noqa: E402
from ai_platform.storage.schema import migrate  # noqa: E402
from ai_platform.training.publish import publish  # noqa: E402
from harness import Platform, eventually, publish_iris, train_iris  # noqa: E402

ROWS = 600
console = Console()


def frames(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray[Any, Any]]:
    """Numbers alone, numbers with categories and gaps, and two classes that depend on them."""
    random = np.random.default_rng(seed)
    numbers = pd.DataFrame(random.normal(size=(ROWS, 8)), columns=[f"x{number}" for number in range(8)])
    mixed = numbers[["x0", "x1", "x2"]].assign(plan=random.choice(["basic", "plus", "family"], ROWS))
    mixed.loc[::13, "x1"] = np.nan
    target = (numbers["x0"] + numbers["x1"] ** 2 + random.normal(0, 0.5, ROWS) > 1).astype(int).to_numpy()
    return numbers, mixed, target


def estimators() -> dict[str, tuple[Any, pd.DataFrame]]:
    """Name to fitted estimator and a sample of what it was trained on."""
    found: dict[str, tuple[Any, pd.DataFrame]] = {}
    for seed in range(10):
        numbers, mixed, target = frames(seed)
        forest = RandomForestClassifier(100, max_depth=8, random_state=seed, n_jobs=1)
        found[f"forest-{seed}"] = (forest.fit(numbers, target), numbers.head(100))
        if seed < 5:
            found[f"logistic-{seed}"] = (LogisticRegression(max_iter=500).fit(numbers, target), numbers.head(100))
            filled = make_pipeline(SimpleImputer(), StandardScaler())
            columns = make_column_transformer((filled, ["x0", "x1", "x2"]), (OneHotEncoder(), ["plan"]))
            pipeline = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(mixed, target)
            found[f"pipeline-{seed}"] = (pipeline, mixed.head(100))
    return found


def pss_mb(pid: int) -> float:
    """Proportional set size of a process, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not tell PSS")


def ask(platform: Platform, name: str, sample: pd.DataFrame) -> None:
    """Predict one row and a hundred, once the model is served."""
    rows = [[None if value != value else value for value in row] for row in sample.to_numpy().tolist()]  # noqa: PLR0124
    path = f"/models/{name}/predict"
    eventually(lambda: platform.client.post(path, json={"features": rows[0]}).status_code == 200, 30, name)
    assert platform.client.post(path, json={"instances": rows}).status_code == 200


def measure(settings: Settings, platform: Platform) -> tuple[float, float, dict[str, str]]:
    """PSS with iris alone, PSS with all, and in which form each model serves."""
    pid = platform.parts["api"].pid
    for _ in range(50):
        platform.client.post("/predict/", json={"features": [5.1, 3.5, 1.4, 0.2]})
    time.sleep(1)
    alone = pss_mb(pid)
    forms: dict[str, str] = {}
    for name, (estimator, sample) in track(estimators().items(), "publishing", console=console):
        made = publish(estimator, name, sample=sample, settings=settings)
        forms[name] = made.report.form + (f" ({made.report.why_native})" if made.report.why_native else "")
        ask(platform, name, sample)
    time.sleep(1)
    return alone, pss_mb(pid), forms


def main() -> None:
    """Measure, and write the page."""
    with tempfile.TemporaryDirectory() as folder, running_servers() as servers:
        iris = train_iris(Path(folder))
        settings = configuration.load(
            database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=Path(folder)
        )
        models = settings.models.model_copy(
            update={"trusted_keys_dir": iris.keys, "signing_key_file": iris.signing_key}
        )
        settings = settings.model_copy(update={"models": models, "auth": "off"})
        migrate(settings)
        publish_iris(settings, iris)
        with Platform.running(settings, "api") as platform:
            alone, whole, forms = measure(settings, platform)
    kinds = sorted({(name.split("-")[0], form) for name, form in forms.items()})
    what = "5 logistic regressions, 5 mixed pipelines, 10 forests of 100 trees"
    how = (
        f"Written by `python benchmarks/scenarios/api_memory.py` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"Python {sys.version.split()[0]}. PSS of the one API process after predictions with every model."
    )
    rows = [f"| iris alone | {alone:.0f} MB |", f"| iris and {len(forms)} more: {what} | {whole:.0f} MB |"]
    served = [f"- {kind}: {form}" for kind, form in kinds]
    lines = ["# Memory of an API process", "", how, "", "| Loaded | PSS |", "| --- | ---: |", *rows, "",
             "In which form they serve:", "", *served]  # fmt: skip
    text = "\n".join(lines) + "\n"
    (ROOT / "docs" / "benchmarks" / "api-memory.md").write_text(text, encoding="utf-8")
    console.print(text)


if __name__ == "__main__":
    main()
