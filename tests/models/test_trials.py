"""Trying a model: one row, two, many; what a model cannot do with them is refused, and what the platform can do is."""

import io
import threading
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from ai_platform.errors import ArtifactRefused
from ai_platform.models.validation.sample_rows import synthetic_row
from ai_platform.models.validation.trials import Trial
from ai_platform.runtimes.base.runtime import Hints, LoadedModel, Outputs
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS

pytestmark = pytest.mark.quick

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
ROWS: list[list[Any]] = X.astype(float).tolist()
LABELS = (X[:, :3] > 0).astype(int)
SUM = LinearRegression().fit(X, X @ [1.0, -2.0, 3.0, 0.5] + 1)


def opened(kind: str, content: bytes, hints: Hints | None = None) -> tuple[LoadedModel, Signature]:
    runtime = FORMATS[kind]
    signature = runtime.read_signature(io.BytesIO(content), hints or Hints())
    return runtime.load(io.BytesIO(content), signature), signature


def tried(kind: str, content: bytes, rows: list[list[Any]] | None = None) -> int:
    loaded, signature = opened(kind, content)
    return Trial(loaded, kind, signature, sampled=rows is not None).run(rows or [synthetic_row(signature)]).rows


def frozen(estimator: Any, rows: int) -> bytes:
    graph = to_onnx(estimator, initial_types=[("x", FloatTensorType([rows, 4]))])
    content: bytes = graph.SerializeToString()
    return content


def source(body: str, more: str = "") -> bytes:
    return f"class Model:\n    inputs = ['a']\n    {more}\n    def predict(self, rows):\n        {body}\n".encode()


def graph(nodes: list[Any], rows: str | int = "n", out: str | int = "n", constants: list[Any] | None = None) -> bytes:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, 4]) for name, size in (("x", rows), ("y", out))
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], constants or []),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("size", [1, 8])
def test_a_graph_with_a_frozen_batch_answers_any_number_of_rows(size: int) -> None:
    loaded, _ = opened("onnx", frozen(SUM, size))
    for count in (1, 2, 8, 9, 50):
        np.testing.assert_allclose(loaded.predict(ROWS[:count]).predictions, SUM.predict(X[:count]), atol=1e-4)


@pytest.mark.parametrize("size", [1, 8])
def test_a_classifier_with_a_frozen_batch_gives_each_row_its_class_and_probabilities(size: int) -> None:
    estimator = LogisticRegression().fit(X, LABELS[:, 0])
    loaded, _ = opened("onnx", frozen(estimator, size))
    outputs = loaded.predict(ROWS)
    assert outputs.predictions == estimator.predict(X).tolist()
    np.testing.assert_allclose(outputs.probabilities or [], estimator.predict_proba(X), atol=1e-5)


def test_a_graph_that_is_frozen_only_inside_answers_row_by_row() -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 4])
    content = graph([helper.make_node("Reshape", ["x", "shape"], ["y"])], constants=[shape])
    loaded, _ = opened("onnx", content)
    np.testing.assert_allclose(loaded.predict(ROWS[:3]).predictions, X[:3], atol=1e-6)
    assert tried("onnx", content, ROWS) == 50


def test_a_graph_whose_rows_change_one_another_is_refused() -> None:
    content = graph([
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ])  # fmt: skip
    with pytest.raises(ArtifactRefused, match="other outputs for rows together than for each row alone"):
        tried("onnx", content, ROWS)


def test_a_graph_whose_inputs_have_different_batches_is_refused() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, 1]) for name, size in (("a", 1), ("b", 2))]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 1])
    made = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", ends, [out])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(ValueError, match="batch dimensions of 1 and 2 rows; export it with a dynamic batch dimension"):
        opened("onnx", model.SerializeToString())


def test_a_graph_with_several_labels_a_row_answers_with_lists() -> None:
    estimator = OneVsRestClassifier(LogisticRegression()).fit(X, LABELS)
    content = to_onnx(estimator, X[:1]).SerializeToString()
    loaded, signature = opened("onnx", content)
    assert signature.classes is None
    assert loaded.predict(ROWS).predictions == estimator.predict(X).tolist()
    assert tried("onnx", content, ROWS) == 50


def test_classes_of_a_graph_with_several_labels_are_refused_with_what_to_do_instead() -> None:
    content = to_onnx(OneVsRestClassifier(LogisticRegression()).fit(X, LABELS), X[:1]).SerializeToString()
    with pytest.raises(ValueError, match="publish it without --classes"):
        opened("onnx", content, Hints(classes=("a", "b", "c")))


def test_labels_whose_number_the_graph_leaves_open_are_answered_as_lists() -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["above"]),
        helper.make_node("Cast", ["above"], ["y"], to=TensorProto.INT64),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "width"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["n", "width"])],
        [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    sample = FORMATS["onnx"].read_signature(io.BytesIO(frozen(SUM, 1)), Hints()).inputs
    loaded, _ = opened("onnx", model.SerializeToString(), Hints(inputs=sample))
    assert loaded.predict(ROWS[:5]).predictions == (X[:5] > 0).astype(int).tolist()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [rows[0][0]]", "predicts one row and not 2 rows together: the model gave 1 outputs for 2 rows"),
        ("assert len(rows) == 1; return [1.0]", "predicts one row and not 2 rows together: AssertionError was raised"),
        ("assert len(rows) < 3; return [1.0] * len(rows)", "not 32 rows together"),
        ("return 5.0", "as float, and not as a list or an array with one a row"),
        ("return None", "as NoneType, and not as a list"),
        ("return []", "the model gave 0 outputs for 1 row"),
        ("return [1.0, 2.0], [[1.0]]", "the model gave 2 outputs for 1 row"),
        ("return [1.0] * len(rows), [[1.0]]", "the model gave probabilities of 1 row for 2 rows"),
        ("return [{1, 2}] * len(rows)", "no form in JSON"),
        ("import random; return [random.random() for _ in rows]", "two different outputs for the same row"),
        ("return [row[0] + len(rows) for row in rows]", "other outputs for rows together than for each row alone"),
        ("raise KeyError('its own words')", "KeyError was raised: 'its own words'"),
    ],
)
def test_a_python_model_that_cannot_answer_several_rows_is_refused_in_words(body: str, words: str) -> None:
    with pytest.raises(ArtifactRefused) as refusal:
        tried("python", source(body))
    assert words in refusal.value.detail


def test_a_python_model_that_declares_its_batch_size_is_given_no_more_rows_than_that() -> None:
    content = source("assert len(rows) <= 2; return [row[0] * 2 for row in rows]", "max_batch_size = 2")
    loaded, _ = opened("python", content)
    assert loaded.predict([[1.0], [2.0], [3.0]]).predictions == [2.0, 4.0, 6.0]
    assert tried("python", content) == 32


def test_a_batch_size_that_is_no_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a whole number from 1"):
        opened("python", source("return [1.0 for _ in rows]", "max_batch_size = 0"))


def test_a_row_of_the_sample_that_cannot_be_predicted_is_named() -> None:
    rows = [[float(number)] for number in range(20)]
    with pytest.raises(
        ArtifactRefused, match=r"cannot predict row 8 of the sample: ValueError|row 8 of the sample: no seven"
    ):
        tried(
            "python", source("if 7.0 in [r[0] for r in rows]: raise ValueError('no seven')\n        return rows"), rows
        )


def test_answers_that_are_not_finite_are_the_same_as_themselves_and_counted() -> None:
    loaded, signature = opened("python", source("return [float('nan') if row[0] == 0 else row[0] for row in rows]"))
    found = Trial(loaded, "python", signature, sampled=True).run([[0.0], [1.0]])
    assert (found.rows, found.non_finite) == (32, 16)


def test_of_a_slow_model_two_rows_are_tried_and_not_all() -> None:
    calls: list[int] = []

    class Slow:
        def predict(self, rows: Any) -> Outputs:
            calls.append(len(rows))
            threading.Event().wait(1.1 if len(calls) == 2 else 0)  # what one row is seen to take
            return Outputs([row[0] for row in rows])

    signature = Signature(inputs=(Feature(name="a"),))
    found = Trial(Slow(), "python", signature, sampled=True).run([[float(number)] for number in range(50)])
    assert (found.rows, calls) == (2, [1, 1, 2, 1])
