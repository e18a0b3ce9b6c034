"""Linear graphs answer as ONNX Runtime and scikit-learn do, one row or many, and nothing else is taken for one."""

from io import BytesIO
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from ai_platform.runtimes.base.runtime import LoadedModel
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.compiler.lowering.lower import lowered
from ai_platform.runtimes.onnx.coding import CodedModel
from ai_platform.runtimes.onnx.linear_form import LINEAR_KEY
from ai_platform.runtimes.onnx.linear_model import LinearModel
from ai_platform.runtimes.onnx.model import OnnxRuntime

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(7)
ROWS = RANDOM.normal(scale=3, size=(240, 4))
TWO = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
THREE = np.digitize(ROWS[:, 2], [-2, 2])
INPUTS = tuple(Feature(name=f"x{number}") for number in range(4))


def signature(classes: int) -> Signature:
    names = tuple("abc"[:classes]) or None
    return Signature(inputs=INPUTS, classes=names, class_values=tuple(range(classes)) or None)


def graph(estimator: Any, classes: int) -> bytes:
    return lowered(estimator, signature(classes), [0, 1, 2, 3], has_probabilities=bool(classes)).content


def loaded(content: bytes, classes: int) -> LoadedModel:
    return OnnxRuntime().load(BytesIO(content), signature(classes))


def without_form(content: bytes) -> bytes:
    model = onnx.load_model_from_string(content)
    kept = [entry for entry in model.metadata_props if entry.key != LINEAR_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return bytes(model.SerializeToString())


LINEAR = [
    pytest.param(LogisticRegression().fit(ROWS, TWO), 2, id="two classes"),
    pytest.param(make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, THREE), 3, id="scaled, three classes"),
    pytest.param(make_pipeline(MinMaxScaler(), LogisticRegression()).fit(ROWS, TWO), 2, id="of a range, two classes"),
    pytest.param(LinearDiscriminantAnalysis().fit(ROWS, THREE), 3, id="discriminant"),
    pytest.param(make_pipeline(StandardScaler(), LinearRegression()).fit(ROWS, ROWS[:, 0] * 2 + 1), 0, id="a number"),
    pytest.param(Ridge().fit(ROWS, ROWS[:, :2]), 0, id="two numbers"),
]


@pytest.mark.parametrize(("estimator", "classes"), LINEAR)
@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_a_linear_graph_answers_as_onnx_runtime_does(estimator: Any, classes: int, count: int) -> None:
    content = graph(estimator, classes)
    ours, theirs = loaded(content, classes), loaded(without_form(content), classes)
    assert isinstance(ours, LinearModel)
    assert isinstance(theirs, CodedModel)
    rows = RANDOM.normal(scale=20, size=(count, 4)).tolist()
    found, expected = ours.predict(rows), theirs.predict(rows)
    assert found.class_numbers == expected.class_numbers
    if classes:
        assert found.predictions == expected.predictions
        assert found.probabilities is not None
        assert expected.probabilities is not None
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-12)
    else:
        np.testing.assert_allclose(found.predictions, expected.predictions, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.predictions, estimator.predict(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("estimator", "classes"), LINEAR[:4])
def test_the_largest_numbers_that_are_let_in_still_give_probabilities(estimator: Any, classes: int) -> None:
    model = loaded(graph(estimator, classes), classes)
    for row in ([1e100, -1e100, 1e100, 0.0], [0.0, 0.0, 0.0, 0.0], [-1e100] * 4):
        for rows in ([row], [row] * 100):
            probabilities = model.predict(rows).probabilities
            assert probabilities is not None
            assert all(abs(sum(one) - 1) < 1e-12 for one in probabilities)


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(3).fit(ROWS, TWO), make_pipeline(Normalizer(), LogisticRegression()).fit(ROWS, TWO)],
    ids=["trees", "of directions"],
)  # fmt: skip
def test_what_is_not_linear_is_not_taken_for_it(estimator: Any) -> None:
    content = graph(estimator, 2)
    assert LINEAR_KEY not in {entry.key for entry in onnx.load_model_from_string(content).metadata_props}
    assert isinstance(loaded(content, 2), CodedModel)


@pytest.mark.parametrize(
    "written",
    ["", "{}", "[]", '{"weights": [[1, 1, 1, 1], [2, 2, 2, 2]], "bias": [0, 0], "link": "softmax"}',
     '{"weights": [[1, 1]], "bias": [0], "link": "softmax"}', '{"weights": [], "bias": [], "link": "identity"}'],
)  # fmt: skip
def test_a_form_that_the_graph_does_not_keep_to_is_passed_over(written: str) -> None:
    model = onnx.load_model_from_string(without_form(graph(LogisticRegression().fit(ROWS, TWO), 2)))
    entry = model.metadata_props.add()
    entry.key, entry.value = LINEAR_KEY, written
    assert isinstance(loaded(bytes(model.SerializeToString()), 2), CodedModel)
