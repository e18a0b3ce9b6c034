"""The contract of a Python model: what it may declare, what it may return, and what is refused."""

import io
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from ai_platform.runtimes.base.runtime import Hints, LoadedModel
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS

pytestmark = pytest.mark.quick

PYTHON = FORMATS["python"]
ONE = (Feature(name="a"),)


def read(source: str, *inputs: Feature, classes: tuple[str, ...] | None = None) -> Signature:
    return PYTHON.read_signature(io.BytesIO(source.encode()), Hints(inputs or None, classes))


def load(source: str, signature: Signature | None = None) -> LoadedModel:
    return PYTHON.load(io.BytesIO(source.encode()), signature or Signature(inputs=ONE))


def returning(expression: str, *, before: str = "") -> str:
    return f"{before}\nclass Any:\n    def predict(self, rows):\n        return {expression}\n"


def test_inputs_are_declared_by_name_by_type_or_as_whole_features() -> None:
    for declared, features in (
        ('["a", "b"]', (Feature(name="a"), Feature(name="b"))),
        ('{"a": "string"}', (Feature(name="a", type="string"),)),
        (
            '{"a": {"type": "integer", "minimum": 0, "maximum": 9, "enforced": True, "example": 5}}',
            (Feature(name="a", type="integer", minimum=0, maximum=9, enforced=True, example=5),),
        ),
    ):
        source = f"class Any:\n    inputs = {declared}\n    def predict(self, rows): ...\n"
        assert read(source).inputs == features


def test_a_sample_completes_what_is_declared() -> None:
    source = 'class Any:\n    inputs = {"a": "number", "b": "string"}\n    def predict(self, rows): ...\n'
    sample = (Feature(name="a", minimum=1, maximum=2, nullable=True), Feature(name="target"))
    assert read(source, *sample).inputs == (sample[0], Feature(name="b", type="string"))


def test_without_inputs_and_sample_the_option_is_named() -> None:
    with pytest.raises(ValueError, match="--sample"):
        read(returning("rows"))


@pytest.mark.parametrize("declared", ['{"a": "text"}', '{"a": {"type": 5}}', '{"a": 5}', "[]"])
def test_an_input_that_is_none_is_refused(declared: str) -> None:
    with pytest.raises(ValueError, match="`inputs` of the class"):
        read(f"class Any:\n    inputs = {declared}\n    def predict(self, rows): ...\n")


def test_classes_are_what_is_predicted_or_names_for_it() -> None:
    for declared, names, values in (
        ('["no", "yes"]', ("no", "yes"), None),
        ("[0, 1]", ("0", "1"), (0, 1)),
        ('{"no": 0, "yes": 1}', ("no", "yes"), (0, 1)),
    ):
        found = read(f"class Any:\n    classes = {declared}\n    def predict(self, rows): ...\n", *ONE)
        assert (found.classes, found.class_values) == (names, values)
    renamed = read("class Any:\n    classes = [0, 1]\n    def predict(self, rows): ...\n", *ONE, classes=("no", "yes"))
    assert (renamed.classes, renamed.class_values) == (("no", "yes"), (0, 1))


@pytest.mark.parametrize(
    ("expression", "predictions", "probabilities"),
    [
        ("[row[0] for row in rows]", [1.0, 2.0], None),
        ("np.array(rows)[:, 0]", [1.0, 2.0], None),
        ("[np.float64(1), np.int64(2)]", [1.0, 2], None),
        ("([0, 1], np.eye(2))", [0, 1], [[1.0, 0.0], [0.0, 1.0]]),
        ('{"predictions": (0, 1), "probabilities": [[1, 0], [0, 1]]}', [0, 1], [[1, 0], [0, 1]]),
        ("np.array(rows) * [1, 2]", [[1.0, 2.0], [2.0, 4.0]], None),
    ],
)  # fmt: skip
def test_predictions_come_as_lists_arrays_tuples_or_dicts(
    expression: str, predictions: list[Any], probabilities: Any
) -> None:
    outputs = load(returning(expression, before="import numpy as np")).predict([[1.0], [2.0]])
    assert outputs.predictions == predictions
    assert outputs.probabilities == probabilities
    assert all(type(value) in {int, float, list} for value in outputs.predictions)


@pytest.mark.parametrize("expression", ["[1]", "([1, 2], [[1.0]])", "[1, 2, 3]"])
def test_another_number_of_outputs_than_rows_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"gave .* for 2 rows"):
        load(returning(expression)).predict([[1.0], [2.0]])


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def predict(rows): ...", "no class with a method `predict`"),
        ("class A:\n    def guess(self): ...", "no class with a method `predict`"),
        ("class A(", "no Python source"),
        ("\0", "no Python source"),
        ("(" * 5000, "no Python source"),
    ],
    ids=["function", "no predict", "syntax", "binary", "deep"],
)
def test_a_source_without_a_model_is_refused_before_it_runs(source: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PYTHON.untrusted_types(io.BytesIO(source.encode()))


def test_asking_what_would_run_runs_nothing(tmp_path: Path) -> None:
    source = returning("rows", before=f"open({str(tmp_path / 'mark')!r}, 'w')")
    assert PYTHON.untrusted_types(io.BytesIO(source.encode())) == ["python source"]
    assert list(tmp_path.iterdir()) == []


def test_of_two_classes_that_predict_the_one_named_model_is_taken() -> None:
    first = "class First:\n    def predict(self, rows): return [1]\n"
    with pytest.raises(ValueError, match="one class with `predict`, or name one `Model`"):
        load(first + first.replace("First", "Second"))
    assert load(first + "class Model(First):\n    def predict(self, rows): return [2]\n").predict(
        [[0.0]]
    ).predictions == [2]


def test_load_is_called_once_and_may_return_what_predicts() -> None:
    itself = (
        "class M:\n    def load(self): self.n = getattr(self, 'n', 0) + 1\n    def predict(self, rows): return [self.n]"
    )
    other = "class M:\n    @classmethod\n    def load(cls): return Inner()\n    def predict(self, rows): ...\nclass Inner:\n    pass\nInner.predict = lambda self, rows: [7]"  # noqa: E501
    assert load(itself).predict([[0.0]]).predictions == [1]
    assert load(other.replace("class M", "class Model")).predict([[0.0]]).predictions == [7]


def test_a_traceback_shows_the_lines_of_the_source() -> None:
    model = load(returning("rows[0].missing"))
    with pytest.raises(AttributeError) as raised:
        model.predict([[1.0]])
    assert "return rows[0].missing" in "".join(traceback.format_exception(raised.value))


def test_no_file_beside_the_source_is_imported() -> None:
    before = list(sys.path)
    with pytest.raises(ImportError):
        load(returning("rows", before="from . import beside"))
    assert sys.path == before
