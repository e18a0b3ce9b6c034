"""The scripts of the how-to pages for graphs and boosters, run as they stand there."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.runtime import Hints, LoadedModel, Value
from ai_platform.runtimes.signature import Feature, Signature

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def script(page: str) -> dict[str, Any]:
        (found,) = re.findall(r"^```python\n(.*?)^```", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
        names: dict[str, Any] = {}
        exec(found, names)
        return names

    return script


def opened(format_name: str, name: str, hints: Hints) -> tuple[Signature, LoadedModel]:
    with Path(name).open("rb") as artifact:
        signature = FORMATS[format_name].read_signature(artifact, hints)
        artifact.seek(0)
        return signature, FORMATS[format_name].load(artifact, signature)


def test_the_graph_of_the_onnx_page_predicts_with_names_of_its_sample(run: Any) -> None:
    names = run("onnx-models.md")
    with Path("wine.csv").open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    hints = Hints(tuple(Feature(name=name) for name in columns), ("barolo", "grignolino", "barbera"))
    signature, model = opened("onnx", "wine.onnx", hints)
    assert signature.inputs[0].name == "alcohol"
    rows: list[list[Value]] = names["wine"].data.to_numpy().tolist()
    assert model.predict(rows).predictions == names["estimator"].predict(names["wine"].data.to_numpy()).tolist()


def test_the_boosters_of_their_page_predict_as_their_libraries_do(run: Any) -> None:
    names = run("boosted-trees.md")
    signature, model = opened("lightgbm", "flats.txt", Hints())
    assert [(one.name, one.type) for one in signature.inputs] == [
        ("rooms", "number"), ("area", "number"), ("city", "string"),
    ]  # fmt: skip
    flats = names["flats"]
    rows = [[None if pd.isna(value) else value for value in row] for row in flats.to_numpy(object).tolist()]
    numbers: Any = model.predict(rows).predictions
    np.testing.assert_allclose(numbers, names["regressor"].predict(flats), rtol=1e-5)
    signature, model = opened("xgboost", "dear.json", Hints(classes=("cheap", "dear")))
    assert (signature.classes, signature.class_values) == (("cheap", "dear"), (0, 1))
    chances: Any = model.predict([row[:2] for row in rows]).probabilities
    np.testing.assert_allclose(chances, names["classifier"].predict_proba(flats[["rooms", "area"]]), atol=1e-5)
