"""Files of formats that run no code of their own: what is taken unsigned, and what is not."""

import importlib
import pickle
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from ai_platform import settings as configuration
from ai_platform.errors import ArtifactRefused
from ai_platform.models.registry.manifest import Draft
from ai_platform.models.validation.validate import Validated, Validator
from ai_platform.runtimes.catalogue import FORMATS

TREE = "sklearn.tree._tree.Tree"
Outcome = Validated | str


@dataclass(frozen=True)
class Case:
    """An unsigned file, and the words of its refusal; None where it is taken."""

    name: str
    format: str
    write: Callable[[], bytes]
    refused: str | None


def _forest() -> bytes:
    written: bytes = importlib.import_module("skops.io").dumps(
        RandomForestClassifier(3).fit(*load_iris(return_X_y=True))
    )
    return written


def _graph(**where: Any) -> bytes:
    """The sum of four numbers with weights of its own, or of another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], **where)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size]) for name, size in (("x", 4), ("y", 1))]
    added, summed = helper.make_node("Add", ["x", "w"], ["z"]), helper.make_node("ReduceL1", ["z"], ["y"], axes=[1])
    graph = helper.make_graph([added, summed], "g", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    written: bytes = model.SerializeToString()
    return written


def _graph_with_data_inside() -> bytes:
    return _graph(float_data=[1.0, 2.0, 3.0, 4.0])


def _graph_with_external_data() -> bytes:
    elsewhere = onnx.StringStringEntryProto(key="location", value="/etc/passwd")
    return _graph(data_location=TensorProto.EXTERNAL, external_data=[elsewhere])


# Those of formats that the catalogue has; a format without any file here fails the last test.
CASES = [
    case
    for case in (
        Case("a pickle", "sklearn-pickle", lambda: pickle.dumps([]), "runs code when it is opened"),
        Case("a Python source", "python", lambda: b"class Model:\n    def predict(self, rows): ...\n", "runs code"),
        Case("a skops forest", "sklearn-skops", _forest, f"types that are not trusted here: {TREE}"),
        Case("a graph", "onnx", _graph_with_data_inside, None),
        Case("a graph with external data", "onnx", _graph_with_external_data, "keeps data in other files"),
    )
    if case.format in FORMATS
]
PLAIN = {"xgboost", "lightgbm"}  # trusted as the graph is; their own suites publish them


@pytest.fixture(scope="module")
def steps() -> dict[str, list[str]]:
    return {case.name: [] for case in CASES}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, steps: dict[str, list[str]]) -> dict[str, Outcome]:
    settings = configuration.load(data_dir=tmp_path_factory.mktemp("data"))
    patient = settings.models.model_copy(update={"validation_seconds": 60.0})
    settings = settings.model_copy(update={"models": patient})

    def outcome(case: Case, folder: Path) -> Outcome:
        (folder / "artifact").write_bytes(case.write())
        draft = Draft(model="m", format=case.format)
        try:
            return Validator.of(settings).validate(
                folder / "artifact", draft, is_signed=False, workdir=folder, on_step=steps[case.name].append
            )
        except ArtifactRefused as error:
            return error.detail

    with ThreadPoolExecutor(2) as threads:
        running: dict[str, Future[Outcome]] = {
            case.name: threads.submit(outcome, case, tmp_path_factory.mktemp("case")) for case in CASES
        }
    return {name: outcome.result() for name, outcome in running.items()}


def test_each_step_is_told_as_it_is_done(outcomes: dict[str, Outcome], steps: dict[str, list[str]]) -> None:
    assert isinstance(outcomes["a graph"], Validated)
    assert steps["a graph"] == [
        "its bytes are verified", "it loads, and predicts 32 rows together as alone", "it serves as it is",
        "its own rows are admitted as requests are",
    ]  # fmt: skip
    assert steps["a pickle"] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_unsigned_file(case: Case, outcomes: dict[str, Outcome]) -> None:
    found = outcomes[case.name]
    if case.refused is None:
        assert isinstance(found, Validated), found
        assert found.manifest.golden.predictions == [10.0]
        assert found.report.untrusted_types == []
    else:
        assert case.refused in str(found)


def test_every_format_has_a_case() -> None:
    assert {case.format for case in CASES} | PLAIN >= set(FORMATS)
