"""What compiles, that it answers as the original does where that matters, and what is said when it does not."""

import io
import warnings
from typing import Any

import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from ai_platform.runtimes.base.runtime import Hints, Outputs, Rows
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.compiler.compiling import Compiled, Refusal, compile_to_onnx
from ai_platform.runtimes.compiler.parity import ROUNDING, TOLERANCE, difference_of, margins
from ai_platform.runtimes.compiler.probe_rows import boundary_rows, spread_rows, unknown_rows
from ai_platform.runtimes.onnx.file import SIGNATURE_KEY

IRIS, DIABETES = load_iris(), load_diabetes()
LARGEST = 50_000_000
FOUR = tuple(Feature(name=f"x{number}") for number in range(4))
NUMBERED = Signature(inputs=FOUR, classes=("a", "b", "c"), class_values=(0, 1, 2))
FLOWERS = IRIS.data.tolist()


class Native:
    """An estimator in service, as plainly as can be."""

    def __init__(self, estimator: Any, names: tuple[str, ...] | None = None) -> None:
        self.estimator, self.names = estimator, names

    def predict(self, rows: Rows) -> Outputs:
        table: Any = np.array(rows, float) if self.names is None else self.frame(rows)
        classes = getattr(self.estimator, "classes_", None)
        if classes is None:
            return Outputs(self.estimator.predict(table).tolist())
        if hasattr(self.estimator, "predict_proba"):
            probabilities = self.estimator.predict_proba(table)
            numbers = probabilities.argmax(axis=1)
            return Outputs(classes[numbers].tolist(), numbers.tolist(), probabilities.tolist())
        predictions = self.estimator.predict(table).tolist()
        return Outputs(predictions, [classes.tolist().index(value) for value in predictions])

    def frame(self, rows: Rows) -> pd.DataFrame:
        columns = list(zip(*rows, strict=True))
        return pd.DataFrame({
            name: np.array(column, object if isinstance(column[0], str) else None if None not in column else float)
            for name, column in zip(self.names or (), columns, strict=True)
        })  # fmt: skip


def compiled(estimator: Any, signature: Signature = NUMBERED, rows: Rows = FLOWERS, **more: Any) -> Compiled | Refusal:
    native = Native(estimator, more.pop("names", None))
    return compile_to_onnx(estimator, native, signature, rows, largest_bytes=LARGEST, **more)


def assert_agrees(found: Compiled | Refusal, estimator: Any, rows: Rows, names: tuple[str, ...] | None = None) -> None:
    """On rows that were not used for validating: drawn anew, and at the boundaries between them."""
    assert isinstance(found, Compiled), found
    signature = FORMATS["onnx"].read_signature(io.BytesIO(found.content), Hints())
    model = FORMATS["onnx"].load(io.BytesIO(found.content), signature)
    native = Native(estimator, names)
    fresh = [*rows, *boundary_rows(native, signature, [list(row) for row in rows[1::2]])]
    ours, theirs = native.predict(fresh), model.predict(fresh)
    if ours.probabilities is None:
        numbers: list[Any] = theirs.predictions
        np.testing.assert_allclose(numbers, list[Any](ours.predictions), rtol=TOLERANCE, atol=TOLERANCE)
        return
    np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=TOLERANCE)  # type: ignore[arg-type]
    sure = margins(ours) > TOLERANCE
    assert [one for one, is_sure in zip(theirs.predictions, sure, strict=True) if is_sure] == [
        one for one, is_sure in zip(ours.predictions, sure, strict=True) if is_sure
    ]


@pytest.fixture(scope="module")
def regression() -> Any:
    return LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)


def test_logistic_regression_compiles_in_double() -> None:
    estimator = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
    found = compiled(estimator)
    assert_agrees(found, estimator, FLOWERS)
    assert isinstance(found, Compiled)
    assert found.largest_difference < 1e-12
    assert found.compiled_seconds_per_row < found.native_seconds_per_row
    assert found.rows_checked > 1000


def test_the_platforms_own_iris_compiles() -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(IRIS.data, IRIS.target)
    assert_agrees(compiled(estimator), estimator, FLOWERS)


def test_a_forest_compiles_and_is_right_at_its_thresholds() -> None:
    estimator = RandomForestClassifier(100, random_state=0).fit(IRIS.data, IRIS.target)
    assert_agrees(compiled(estimator), estimator, FLOWERS)


def test_a_forest_sends_missing_values_where_it_learnt_to() -> None:
    estimator = RandomForestClassifier(5, random_state=0).fit(IRIS.data, IRIS.target)
    signature = msgspec.structs.replace(
        NUMBERED, inputs=tuple(msgspec.structs.replace(feature, nullable=True) for feature in FOUR)
    )
    found = compiled(estimator, signature)
    gappy = spread_rows(signature, FLOWERS)
    assert any(None in row for row in gappy)
    assert_agrees(found, estimator, gappy)


def test_a_scaler_before_a_forest_scales_in_double() -> None:
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(IRIS.data, IRIS.target)
    assert_agrees(compiled(estimator), estimator, FLOWERS)


def test_the_points_tell_a_graph_whose_scaler_rounds() -> None:
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(IRIS.data, IRIS.target)
    content = to_onnx(estimator, initial_types=[("x", FloatTensorType([None, 4]))], options={"zipmap": False})
    rounding = FORMATS["onnx"].load(io.BytesIO(content.SerializeToString()), NUMBERED)
    points = boundary_rows(Native(estimator), NUMBERED, FLOWERS)
    ours, theirs = Native(estimator).predict(points), rounding.predict(points)
    assert np.abs(np.subtract(ours.probabilities, theirs.probabilities)).max() > 0.01  # type: ignore[arg-type]


def test_regressors_compile() -> None:
    signature = Signature(inputs=tuple(Feature(name=f"x{number}") for number in range(10)))
    rows = DIABETES.data[:100].tolist()
    for estimator in (
        LinearRegression().fit(DIABETES.data, DIABETES.target),
        LinearRegression().fit(DIABETES.data, np.c_[DIABETES.target, -DIABETES.target]),
        RandomForestRegressor(5, random_state=0).fit(DIABETES.data, DIABETES.target),
    ):
        assert_agrees(compiled(estimator, signature, rows), estimator, rows)


CUSTOMERS = ("age", "income", "city", "rooms")
CUSTOMER = (
    Feature(name="age", type="integer"), Feature(name="income", nullable=True),
    Feature(name="city", type="string", categories=("Oslo", "Paris", "Rome")),
    Feature(name="rooms", type="integer", categories=(1, 2, 3)),
)  # fmt: skip


def customers(encoder: OneHotEncoder, last: Any) -> tuple[Any, list[list[Any]]]:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({
        "age": chance.integers(18, 90, 200), "income": np.where(chance.random(200) < 0.2, np.nan, chance.random(200)),
        "city": chance.choice(["Rome", "Paris", "Oslo"], 200).astype(object), "rooms": chance.integers(1, 4, 200),
    })  # fmt: skip
    target = np.where(frame["age"] / 90 + (frame["city"] == "Rome") + chance.random(200) > 1.2, "left", "stayed")
    transformer = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        ("kinds", encoder, ["city", "rooms"]),
    ])  # fmt: skip
    rows = [[None if pd.isna(value) else value for value in row] for row in frame.to_numpy(object).tolist()]
    return make_pipeline(transformer, last).fit(frame, target), rows


def test_a_pipeline_of_mixed_types_with_missing_values_compiles() -> None:
    estimator, rows = customers(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    signature = Signature(inputs=CUSTOMER, classes=("left", "stayed"))
    found = compiled(estimator, signature, rows, names=CUSTOMERS)
    assert_agrees(found, estimator, rows, CUSTOMERS)


def test_a_forest_behind_imputers_and_encoders_compiles() -> None:
    estimator, rows = customers(OneHotEncoder(handle_unknown="ignore"), RandomForestClassifier(10, random_state=0))
    found = compiled(estimator, Signature(inputs=CUSTOMER, classes=("left", "stayed")), rows, names=CUSTOMERS)
    assert_agrees(found, estimator, rows, CUSTOMERS)


def test_an_encoder_that_refuses_unknown_categories_is_not_replaced_by_one_that_does_not() -> None:
    estimator, rows = customers(OneHotEncoder(), LogisticRegression())
    native = Native(estimator, CUSTOMERS)
    signature = Signature(inputs=CUSTOMER, classes=("left", "stayed"))
    with pytest.raises(ValueError, match="unknown categories"):
        native.predict(unknown_rows(signature, rows)[:1])
    found = compiled(estimator, signature, rows, names=CUSTOMERS)
    if isinstance(found, Compiled):
        model = FORMATS["onnx"].load(io.BytesIO(found.content), signature)
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever the library raises
            model.predict(unknown_rows(signature, rows)[:1])
    else:
        assert "unknown categories" in found.why


@pytest.mark.parametrize("classes", [(False, True), (3, 7), ("no", "yes")])
def test_a_compiled_model_predicts_what_the_original_predicts(classes: tuple[Any, Any]) -> None:
    target = np.array(classes)[(IRIS.target == 1).astype(int)]
    estimator = LogisticRegression().fit(IRIS.data, target)
    signature = Signature(inputs=FOUR, classes=("other", "versicolor"), class_values=classes)
    found = compiled(estimator, signature)
    assert isinstance(found, Compiled)
    predictions = FORMATS["onnx"].load(io.BytesIO(found.content), signature).predict(FLOWERS).predictions
    assert predictions == estimator.predict(IRIS.data).tolist()
    assert {type(one) for one in predictions} == {type(classes[0])}


def test_a_compiled_model_carries_its_signature(regression: Any) -> None:
    found = compiled(regression)
    assert isinstance(found, Compiled)
    entries = {entry.key: entry.value for entry in onnx.load_model_from_string(found.content).metadata_props}
    assert msgspec.json.decode(entries[SIGNATURE_KEY], type=Signature) == NUMBERED
    assert FORMATS["onnx"].read_signature(io.BytesIO(found.content), Hints()) == NUMBERED


def test_scores_do_not_become_probabilities() -> None:
    estimator = Perceptron(random_state=0).fit(IRIS.data, IRIS.target)
    found = compiled(estimator)
    assert isinstance(found, Compiled)
    outputs = FORMATS["onnx"].load(io.BytesIO(found.content), NUMBERED).predict(FLOWERS)
    assert outputs.probabilities is None
    assert outputs.class_numbers == estimator.predict(IRIS.data).tolist()


def test_scores_of_a_ridge_classifier_are_summed_in_double() -> None:
    estimator = RidgeClassifier().fit(IRIS.data, IRIS.target)
    assert_agrees(compiled(estimator), estimator, FLOWERS)


def test_a_function_of_numpy_compiles() -> None:
    estimator = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=500))
    assert_agrees(compiled(estimator.fit(IRIS.data, IRIS.target)), estimator, FLOWERS)


def test_what_has_no_rule_is_named_in_one_sentence() -> None:
    estimator = make_pipeline(FunctionTransformer(np.cbrt), LogisticRegression(max_iter=500))
    found = compiled(estimator.fit(IRIS.data, IRIS.target))
    assert isinstance(found, Refusal)
    assert found.why == "there is no rule for the function cbrt"


def test_nearest_neighbours_are_never_compiled() -> None:
    found = compiled(KNeighborsClassifier().fit(IRIS.data, IRIS.target))
    assert isinstance(found, Refusal)
    assert found.why == "there is no rule for KNeighborsClassifier"


def test_trees_that_make_too_large_a_graph_are_not_written() -> None:
    estimator = RandomForestClassifier(50, random_state=0).fit(IRIS.data, IRIS.target)
    found = compile_to_onnx(estimator, Native(estimator), NUMBERED, FLOWERS, largest_bytes=10_000)
    assert isinstance(found, Refusal)
    assert "its trees would make a graph of more than" in found.why


def test_a_graph_that_is_too_large_is_refused(regression: Any) -> None:
    found = compile_to_onnx(regression, Native(regression), NUMBERED, FLOWERS, largest_bytes=100)
    assert isinstance(found, Refusal)
    assert "the graph has more than" in found.why


def test_a_model_that_is_faster_as_it_is_stays_as_it_is() -> None:
    forest = RandomForestClassifier(20, random_state=0).fit(IRIS.data, IRIS.target)
    known: dict[str, Outputs] = {}

    class Fast(Native):
        def predict(self, rows: Rows) -> Outputs:
            if len(rows) > 1:
                return super().predict(rows)
            return known.setdefault(str(rows), super().predict(rows)) if str(rows) not in known else known[str(rows)]

    found = compile_to_onnx(forest, Fast(forest), NUMBERED, FLOWERS, largest_bytes=LARGEST)
    assert isinstance(found, Refusal)
    assert "not faster" in found.why


def test_compiling_prints_and_warns_of_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target))
        compiled(DecisionTreeClassifier(max_depth=2).fit(IRIS.data, IRIS.target))
    assert capfd.readouterr() == ("", "")


def test_one_row_is_enough_of_a_sample_where_the_model_knows_the_rest(regression: Any) -> None:
    found = compiled(regression, NUMBERED, FLOWERS[:1])
    assert isinstance(found, Compiled)
    assert "3 of 3 classes" in found.coverage


def test_what_reaches_one_class_of_two_proves_nothing() -> None:
    chance = np.random.default_rng(0)
    far = chance.normal(5e4, 1e3, (200, 4))
    estimator = MLPClassifier((4,), max_iter=20, random_state=0).fit(far, (far[:, 0] > 5e4).astype(int))
    estimator.intercepts_[-1] -= 1e9  # no row at all is of the second class
    found = compiled(
        estimator, Signature(inputs=NUMBERED.inputs, classes=("no", "yes"), class_values=(0, 1)), FLOWERS[:1]
    )
    assert isinstance(found, Refusal)
    assert "1 of its 2 classes" in found.why
    assert "--sample" in found.why


def test_points_near_a_boundary_are_near_it(regression: Any) -> None:
    native = Native(regression)
    found = margins(native.predict(boundary_rows(native, NUMBERED, FLOWERS)))
    assert (found < 1e-4).sum() > 100
    assert (found < 1e-7).sum() > 30


@pytest.mark.parametrize(("rounding", "differs"), [(0.0, False), (ROUNDING, True)])
def test_a_vote_that_is_a_tie_but_for_rounding_must_fall_alike(*, rounding: float, differs: bool) -> None:
    library = Outputs(["b"], class_numbers=[1], probabilities=[[1 / 3, 0.33333333333333337, 1 / 3]])
    graph = Outputs(["a"], class_numbers=[0], probabilities=[[1 / 3, 1 / 3, 1 / 3]])
    assert bool(difference_of(library, graph, 1, rounding)) == differs


@pytest.mark.parametrize(("apart", "differs"), [(7e-7, False), (8e-7, True)])
def test_what_probe_rows_find_leaves_room_for_what_they_do_not(*, apart: float, differs: bool) -> None:
    assert bool(difference_of(Outputs([1.0]), Outputs([1.0 + apart]))) == differs
