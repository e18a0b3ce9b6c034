"""What every runtime must do; a new format is a case in CASES."""

import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.svm import SVC

from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.runtime import LoadedModel
from ai_platform.runtimes.signature import Feature, Signature


@dataclass(frozen=True)
class Case:
    """A fitted model, how its format writes it, and rows to ask it about."""

    name: str
    format: str
    estimator: Any
    write: Callable[[Any], bytes]
    rows: list[list[float]]


def _fitted(estimator: BaseEstimator, data: Any, target: Any = None) -> Any:
    return estimator.fit(data.data, data.target if target is None else target)


IRIS, DIABETES = load_iris(), load_diabetes()
NAMED = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]
FLOWERS, PATIENTS = IRIS.data[::30].tolist(), DIABETES.data[:5].tolist()
ANY = Signature(inputs=(Feature(name="any"),))
PICKLE = "sklearn-pickle"
CASES = [
    Case("logistic regression", PICKLE, _fitted(LogisticRegression(max_iter=500), IRIS), pickle.dumps, FLOWERS),
    Case("forest", PICKLE, _fitted(RandomForestClassifier(10, random_state=0), IRIS), pickle.dumps, FLOWERS),
    Case("named classes", PICKLE, _fitted(LogisticRegression(max_iter=500), IRIS, NAMED), pickle.dumps, FLOWERS),
    Case("no probabilities", PICKLE, _fitted(RidgeClassifier(), IRIS), pickle.dumps, FLOWERS),
    Case("not its most probable class", PICKLE, _fitted(SVC(), IRIS), pickle.dumps, FLOWERS),
    Case("regression", PICKLE, _fitted(LinearRegression(), DIABETES), pickle.dumps, PATIENTS),
    Case("many outputs", PICKLE,
         MultiOutputRegressor(LinearRegression()).fit(DIABETES.data, np.c_[DIABETES.target, -DIABETES.target]),
         pickle.dumps, PATIENTS),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def opened(name: str, content: bytes) -> LoadedModel:
    return FORMATS[name].load(io.BytesIO(content), ANY)


def load(case: Case) -> LoadedModel:
    return opened(case.format, case.write(case.estimator))


def test_predictions_are_the_librarys_own(case: Case) -> None:
    outputs = load(case).predict(case.rows)
    expected = case.estimator.predict(np.asarray(case.rows)).tolist()
    if isinstance(expected[0], float | list):
        assert np.allclose(outputs.predictions, expected, atol=1e-5)  # type: ignore[arg-type]
    else:
        assert outputs.predictions == expected


def test_probabilities_are_the_librarys_own_where_it_has_them(case: Case) -> None:
    outputs = load(case).predict(case.rows)
    if hasattr(case.estimator, "predict_proba"):
        assert np.allclose(outputs.probabilities, case.estimator.predict_proba(np.asarray(case.rows)), atol=1e-5)  # type: ignore[arg-type]
    else:
        assert outputs.probabilities is None


def test_class_numbers_are_places_in_the_models_classes(case: Case) -> None:
    outputs = load(case).predict(case.rows)
    if hasattr(case.estimator, "classes_"):
        assert outputs.class_numbers is not None
        named = [case.estimator.classes_[number] for number in outputs.class_numbers]
        assert named == list(outputs.predictions)
    else:
        assert outputs.class_numbers is None


def test_rows_together_give_what_each_gives_alone(case: Case) -> None:
    model = load(case)
    together = model.predict(case.rows)
    alone = [model.predict([row]).predictions[0] for row in case.rows]
    if isinstance(alone[0], str):
        assert together.predictions == alone
    else:
        assert np.allclose(together.predictions, alone, atol=1e-6)  # type: ignore[arg-type]


def test_outputs_are_plain_values_that_json_can_hold(case: Case) -> None:
    import json

    outputs = load(case).predict(case.rows)
    json.dumps([outputs.predictions, outputs.class_numbers, outputs.probabilities])


def test_the_rows_that_were_given_are_not_changed(case: Case) -> None:
    rows = [list(row) for row in case.rows]
    load(case).predict(rows)
    assert rows == case.rows


def test_many_threads_at_once_get_the_same_answers(case: Case) -> None:
    model = load(case)
    expected = model.predict(case.rows).predictions
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: model.predict(case.rows).predictions, range(16)))
    assert all(answer == expected for answer in answers)


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_of_another_kind_raise_and_nothing_is_loaded(name: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever the library raises; the loader words it
        opened(name, b"this is no model")


def test_an_object_that_cannot_predict_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot predict"):
        opened("sklearn-pickle", pickle.dumps({"not": "a model"}))


def test_every_format_has_a_case() -> None:
    assert {case.format for case in CASES} == set(FORMATS)
