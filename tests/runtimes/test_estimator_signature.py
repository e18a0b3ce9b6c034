"""What is read of a fitted estimator, and what a sample adds to it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.samples import from_frame
from ai_platform.runtimes.sklearn.model import SklearnModel
from ai_platform.runtimes.sklearn.signature import signature_of

pytestmark = pytest.mark.quick

NONE = Hints()
SIZE = 40
TABLE = pd.DataFrame({
    "id": [f"customer {number}" for number in range(SIZE)],
    "age": np.arange(SIZE),
    "share": np.linspace(0, 1, SIZE),
    "city": ["Rome", "Paris", "Oslo", None] * 10,
    "plan": ["a", "b"] * 20,
})  # fmt: skip
TARGET = np.array([0, 1, 1, 0] * 10)
GAPPY = TABLE.assign(age=TABLE["age"].where(TABLE["age"] > 5), plan=TABLE["plan"].where(TABLE["age"] > 5))


def read(*steps: Any, table: pd.DataFrame, hints: Hints = NONE) -> dict[str, Feature]:
    estimator = make_pipeline(*steps).fit(table, TARGET)
    return {feature.name: feature for feature in signature_of(estimator, hints).inputs}


def encoded(**options: Any) -> ColumnTransformer:
    return ColumnTransformer([("words", OneHotEncoder(**options), ["plan"])], remainder="drop")


def test_columns_that_nothing_reads_are_no_inputs() -> None:
    found = read(encoded(), LogisticRegression(), table=TABLE)
    assert list(found) == ["plan"]


def test_a_model_answers_without_the_columns_that_nothing_reads() -> None:
    estimator = make_pipeline(encoded(), LogisticRegression()).fit(TABLE, TARGET)
    model = SklearnModel(estimator, signature_of(estimator, NONE))
    assert model.predict([["a"], ["b"]]).predictions == estimator.predict(TABLE[:2]).tolist()


def test_a_column_named_in_two_places_is_one_input() -> None:
    both = ColumnTransformer([("raw", "passthrough", ["age"]), ("scaled", StandardScaler(), ["age", "share"])])
    assert list(read(both, LogisticRegression(), table=TABLE)) == ["age", "share"]


def test_inputs_keep_the_order_of_training_and_may_come_in_another_by_the_signature() -> None:
    both = ColumnTransformer([("words", OneHotEncoder(), ["plan"]), ("numbers", "passthrough", ["share", "age"])])
    estimator = make_pipeline(both, LogisticRegression()).fit(TABLE, TARGET)
    signature = signature_of(estimator, NONE)
    assert [feature.name for feature in signature.inputs] == ["age", "share", "plan"]
    turned = Signature(inputs=signature.inputs[::-1], classes=signature.classes)
    assert SklearnModel(estimator, turned).predict([["b", 0.5, 7.0]]) == SklearnModel(estimator, signature).predict(
        [[7.0, 0.5, "b"]]
    )


@pytest.mark.parametrize(
    ("options", "table", "without", "with_sample"),
    [
        ({}, TABLE, False, False),
        ({}, GAPPY, True, True),
        ({"handle_unknown": "ignore"}, TABLE, False, False),
        ({"handle_unknown": "ignore"}, GAPPY, True, True),
    ],
)
def test_a_category_may_be_missing_where_the_encoder_learnt_that(
    options: dict[str, Any], table: pd.DataFrame, without: bool, with_sample: bool
) -> None:
    hints = Hints(from_frame(table).inputs)
    assert read(encoded(**options), LogisticRegression(), table=table)["plan"].nullable is without
    assert read(encoded(**options), LogisticRegression(), table=table, hints=hints)["plan"].nullable is with_sample


def test_an_encoder_that_ignores_the_unknown_takes_what_a_sample_lacks() -> None:
    hints = Hints(from_frame(GAPPY).inputs)
    found = read(encoded(handle_unknown="ignore"), LogisticRegression(), table=TABLE, hints=hints)
    assert found["plan"].nullable
    strict = read(encoded(), LogisticRegression(), table=TABLE, hints=hints)
    assert not strict["plan"].nullable


@pytest.mark.parametrize(
    ("steps", "nullable"),
    [
        ([LogisticRegression()], False),
        ([StandardScaler(), LogisticRegression()], False),
        ([StandardScaler(), SimpleImputer(), LogisticRegression()], True),
        ([SimpleImputer(), PCA(1), LogisticRegression()], True),
        ([StandardScaler(), RandomForestClassifier(2)], True),
        ([FunctionTransformer(), GradientBoostingClassifier(n_estimators=1)], False),
        ([FeatureUnion([("a", SimpleImputer()), ("b", PCA(1))]), LogisticRegression()], False),
        ([FeatureUnion([("a", SimpleImputer()), ("b", StandardScaler())]), RandomForestClassifier(2)], True),
        ([KNeighborsClassifier(metric="nan_euclidean")], True),
    ],
)
def test_a_number_may_be_missing_where_every_way_takes_that(steps: list[Any], nullable: bool) -> None:
    estimator = make_pipeline(*steps).fit(TABLE[["age", "share"]], TARGET)
    signature = signature_of(estimator, NONE)
    assert [feature.nullable for feature in signature.inputs] == [nullable, nullable]
    if nullable:
        assert len(SklearnModel(estimator, signature).predict([[None, 0.5], [1.0, None]])) == 2


@pytest.mark.parametrize(("final", "nullable"), [(RandomForestClassifier(2), True), (RidgeClassifier(), False)])
def test_a_missing_category_that_stays_missing_is_for_the_next_step_to_take(final: Any, nullable: bool) -> None:
    estimator = make_pipeline(OrdinalEncoder(), RandomForestClassifier(2)).fit(GAPPY[["plan"]], TARGET)
    estimator.steps[-1] = ("final", final.fit(TABLE[["age"]].to_numpy(), TARGET))
    assert signature_of(estimator, NONE).inputs[0].nullable is nullable


def test_a_sample_adds_ranges_and_examples_and_its_target_is_left_out() -> None:
    sample = from_frame(TABLE.assign(target=TARGET))
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE[["share", "age"]], TARGET)
    signature = signature_of(estimator, Hints(sample.inputs, ("no", "yes")))
    assert signature == Signature(
        inputs=(
            Feature(name="share", minimum=0, maximum=1, example=sample.inputs[2].example),
            Feature(name="age", minimum=0, maximum=39, example=19),
        ),
        classes=("no", "yes"),
        class_values=(0, 1),
        ignored=("id", "city", "plan", "target"),
    )


def test_a_sample_without_a_column_of_training_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"no column 'share'; give --sample"):
        read(LogisticRegression(), table=TABLE[["age", "share"]], hints=Hints(from_frame(TABLE[["age"]]).inputs))


def test_a_model_trained_on_arrays_takes_the_names_of_a_sample() -> None:
    estimator = LogisticRegression().fit(TABLE[["age", "share"]].to_numpy(), TARGET)
    assert [feature.name for feature in signature_of(estimator, NONE).inputs] == ["x0", "x1"]
    hints = Hints(from_frame(TABLE[["age", "share"]]).inputs)
    assert [feature.name for feature in signature_of(estimator, hints).inputs] == ["age", "share"]


def test_a_model_that_does_not_know_its_inputs_asks_for_a_sample() -> None:
    estimator = DummyClassifier().fit([[0.0]] * SIZE, TARGET)
    if hasattr(estimator, "n_features_in_"):
        del estimator.n_features_in_
    with pytest.raises(ValueError, match="--sample"):
        signature_of(estimator, NONE)
    given = (Feature(name="a"),)
    assert signature_of(estimator, Hints(given)).inputs == given


def test_more_than_a_hundred_categories_are_not_shown() -> None:
    table = pd.DataFrame({"plan": [f"plan {number:03}" for number in range(120)]})
    estimator = make_pipeline(encoded(), LogisticRegression()).fit(table, [0, 1] * 60)
    assert signature_of(estimator, NONE).inputs == (Feature(name="plan", type="string"),)
