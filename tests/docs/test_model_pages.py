"""The scripts of the how-to pages for model formats, run as they stand there."""

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ai_platform.runtimes.catalogue import FORMATS, format_of
from ai_platform.runtimes.runtime import Hints, Runtime
from ai_platform.runtimes.samples import read
from ai_platform.runtimes.signature import Feature

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def script(page: str) -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_pipeline_of_the_scikit_learn_page_predicts_from_its_file_and_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(script("scikit-learn-models.md"), names)
    file, sample = tmp_path / "churn.pkl", read(tmp_path / "customers.csv")
    runtime = FORMATS[format_of(file)]
    with file.open("rb") as artifact:
        signature = runtime.read_signature(artifact, Hints(sample.inputs))
    with file.open("rb") as artifact:
        model = runtime.load(artifact, signature)
    assert [(feature.name, feature.type, feature.nullable) for feature in signature.inputs] == [
        ("age", "number", True), ("income", "number", True), ("city", "string", True),
    ]  # fmt: skip
    assert signature.classes == ("no", "yes")
    expected = names["pipeline"].predict(names["customers"])  # type: ignore[attr-defined]
    places = [[column.name for column in sample.inputs].index(feature.name) for feature in signature.inputs]
    assert model.predict([[row[place] for place in places] for row in sample.rows]).predictions == expected.tolist()
    assert model.predict([[33.0, None, "Rome"]]).predictions in (["no"], ["yes"])


def test_the_class_of_the_python_page_predicts_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "unusual.py"
    file.write_text(script("python-models.md"), encoding="utf-8")
    runtime = FORMATS[format_of(file)]
    with file.open("rb") as artifact:
        assert runtime.untrusted_types(artifact) == ["python source"]
        signature = runtime.read_signature(artifact, Hints())
    with file.open("rb") as artifact:
        model = runtime.load(artifact, signature)
    assert signature.inputs[1] == Feature(name="country", type="string", nullable=True, example="IT")
    outputs = model.predict([[950.0, "IT"], [950.0, None], [120.0, "FR"]])
    assert outputs.predictions == [0, 1, 0]
    assert outputs.probabilities == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]


def test_the_format_that_contributing_shows_works_as_it_stands_there() -> None:
    text = (HOW_TO.parents[1] / "CONTRIBUTING.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(# src/ai_platform/runtimes/json_table.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    runtime: Runtime = names["JsonTableRuntime"]()
    assert runtime.untrusted_types(BytesIO(b"[5, 6]")) == []
    signature = runtime.read_signature(BytesIO(b"[5, 6]"), Hints())
    assert runtime.load(BytesIO(b"[5, 6]"), signature).predict([[1]]).predictions == [6]
    with pytest.raises(ValueError, match="no list"):
        runtime.untrusted_types(BytesIO(b"{}"))


def test_a_file_of_no_known_ending_asks_for_its_format() -> None:
    with pytest.raises(ValueError, match=r"--format, one of .*sklearn-pickle"):
        format_of(Path("model.bin"))
