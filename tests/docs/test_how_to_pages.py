"""The how-to pages do what they say: each page's script makes a file, its command publishes it, and it predicts."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai_platform.settings import Settings
from harness import Iris, Platform, environment, eventually

pytestmark = pytest.mark.slow

FORMATS = Path(__file__).parents[2] / "docs" / "how-to" / "formats"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN_ROWS = 20

# What the library itself says of the sample's first rows, written by each page's script when this is added to it.
ORACLES = {
    "scikit-learn.md": "expected = model.predict(frame.head(20)), model.predict_proba(frame.head(20))",
    "onnx.md": "expected = model.predict(wine.data.values[:20]), model.predict_proba(wine.data.values[:20])",
    "xgboost.md": "expected = model.predict(frame.head(20)), model.predict_proba(frame.head(20))",
    "lightgbm.md": "expected = model.predict(patients.data.head(20)), None",
}
SAVE = """
import json
from pathlib import Path
Path("expected.json").write_text(json.dumps([None if part is None else part.tolist() for part in expected]))
"""


@pytest.fixture(scope="module")
def site(module_settings: Settings, iris: Iris) -> Iterator[Platform]:
    """An API, and keys of its own for publishing."""
    models = module_settings.models.model_copy(update={"signing_key_file": iris.signing_key})
    with Platform.running(module_settings.model_copy(update={"models": models}), "api") as running:
        yield running


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((FORMATS / page).read_text(encoding="utf-8"))


def run(site: Platform, folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "ai_platform.cli", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment(site.settings), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def follow(site: Platform, page: str, folder: Path) -> list[str]:
    """Run the page's scripts, then its commands; what the commands printed."""
    found = blocks(page)
    script = "\n".join(text for kind, text in found if kind == "python") + ORACLES.get(page, "expected = []") + SAVE
    made = folder / "script.py"
    made.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, made.name], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commands = [line for kind, text in found if kind == "sh" for line in text.splitlines()]
    return [run(site, folder, *command.split()[1:]) for command in commands]


@pytest.mark.parametrize("page", sorted(ORACLES))
def test_a_page_leads_from_file_to_the_librarys_own_predictions(site: Platform, page: str, tmp_path: Path) -> None:
    follow(site, page, tmp_path)
    named = re.findall(r"models publish (\w+) \S+ --sample (\S+)", (FORMATS / page).read_text(encoding="utf-8"))
    name, sample = named[0]
    path = f"/models/{name}/predict"
    instances = list(first_rows(site, name, tmp_path / sample))
    eventually(lambda: site.client.post(path, json={"instances": instances}).status_code == 200, 5, f"{name} serves")
    answer = site.client.post(path, json={"instances": instances}).json()
    predictions, probabilities = json.loads((tmp_path / "expected.json").read_text(encoding="utf-8"))
    if probabilities is None:
        assert np.allclose(answer["predictions"], predictions, rtol=1e-5, atol=1e-5)
    else:
        assert answer["predictions"] == predictions
        assert np.allclose(answer["probabilities"], probabilities, atol=1e-5)


def test_the_page_about_python_leads_to_a_prediction(site: Platform, tmp_path: Path) -> None:
    (source,) = [text for kind, text in blocks("python.md") if kind == "python"]
    (tmp_path / "parcels.py").write_text(source, encoding="utf-8")
    (command,) = [text.split() for kind, text in blocks("python.md") if kind == "sh"]
    run(site, tmp_path, *command[1:])
    parcel = {"features": {"distance_km": 900, "express": False, "country": "IS"}}
    path = "/models/parcels/predict"
    eventually(lambda: site.client.post(path, json=parcel).status_code == 200, 5, "parcels serves")
    answer = site.client.post(path, json=parcel).json()
    assert answer["label"] == "late"
    assert answer["probabilities"][1] == pytest.approx(1 / (1 + np.exp(2 - 3.6)), abs=1e-9)


def first_rows(site: Platform, name: str, sample: Path) -> Iterator[dict[str, Any]]:
    """The sample's first rows as instances by name, typed as the published model's inputs are."""
    version = site.client.get(f"/models/{name}/versions").json()["versions"][-1]["version"]
    inputs = site.client.get(f"/models/{name}/versions/{version}").json()["inputs"]
    with sample.open(newline="", encoding="utf-8") as file:
        for _, row in zip(range(SHOWN_ROWS), csv.DictReader(file), strict=False):
            yield {
                feature["name"]: None if row[feature["name"]] == ""
                else row[feature["name"]] if feature.get("type") == "string" else float(row[feature["name"]])
                for feature in inputs
            }  # fmt: skip
