"""Estimators as pickle and as skops, and Python models."""

import pickle
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from scipy.sparse import csr_matrix, issparse
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from skops.io import dumps as skops_dumps
from xgboost import XGBClassifier

from ai_platform.runtimes.base.runtime import Hints, Value
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.samples import from_frame
from runtimes.conformance.cases import Case, Expected

Given = tuple[Any, Any]  # what the estimator is asked about, and the same as rows

IRIS, DIABETES = load_iris(), load_diabetes()
NAMED = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]
WRITERS: dict[str, Callable[[Any], bytes]] = {
    "sklearn-pickle": partial(pickle.dumps, protocol=5),
    "sklearn-skops": skops_dumps,
}


@cache
def customers() -> pd.DataFrame:
    """Numbers, whole numbers, strings and booleans, with missing values, and a column that nobody needs."""
    chance = np.random.default_rng(0)
    size = 120
    return pd.DataFrame({
        "id": [f"customer {number}" for number in range(size)],
        "age": chance.integers(18, 90, size),
        "income": np.where(chance.random(size) < 0.2, np.nan, chance.random(size) * 1000),
        "city": chance.choice(np.array(["Rome", "Paris", None], dtype=object), size),
        "rooms": chance.integers(1, 4, size),
        "member": chance.random(size) < 0.5,
    })  # fmt: skip


@cache
def churned() -> Any:
    return np.where(np.random.default_rng(1).random(120) < 0.5, "left", "stayed")


def mixed() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([
        ("numbers", numbers, ["age", "income"]), ("words", words, ["city"]),
        ("kinds", OneHotEncoder(handle_unknown="ignore"), ["rooms"]), ("flags", "passthrough", ["member"]),
    ])  # fmt: skip


MIXED_INPUTS = (
    Feature(name="age", nullable=True),
    Feature(name="income", nullable=True),
    Feature(name="city", type="string", nullable=True, categories=("Paris", "Rome"), example="Paris"),
    Feature(name="rooms", type="integer", categories=(1, 2, 3), example=1),
    Feature(name="member"),
)
# A booster takes a missing value that nobody filled in.
BOOSTED_INPUTS = (*MIXED_INPUTS[:4], Feature(name="member", nullable=True))


def rows_of(frame: pd.DataFrame, *names: str) -> list[list[Value]]:
    columns = [[None if pd.isna(value) else value for value in frame[name].tolist()] for name in names]
    return [list(row) for row in zip(*columns, strict=True)]


def fitted(fit: Callable[[], Any], given: Callable[[], Given], write: Callable[[Any], bytes]) -> Expected:
    estimator = fit()
    asked, rows = given()
    classes = getattr(estimator, "classes_", None)
    predictions = estimator.predict(asked)
    predictions = predictions.toarray() if issparse(predictions) else predictions
    one_output = isinstance(classes, np.ndarray) and np.ndim(predictions) == 1
    return Expected(
        write(estimator),
        rows,
        predictions.tolist(),
        estimator.predict_proba(asked).tolist() if one_output and hasattr(estimator, "predict_proba") else None,
        classes.tolist() if classes is not None and one_output else None,
    )


def several_labels() -> Any:
    return np.c_[IRIS.target == 0, IRIS.target != 1, IRIS.data[:, 0] > 6].astype(int)


def arrays(matrix: Any) -> Given:
    return matrix, matrix.tolist()


def frames(*names: str) -> Callable[[], Given]:
    return lambda: (customers().iloc[:6], rows_of(customers().iloc[:6], *names))


FLOWERS = partial(arrays, IRIS.data[::20])
PATIENTS = partial(arrays, DIABETES.data[:6])
CUSTOMERS = frames("age", "income", "city", "rooms", "member")
NUMBERED = Signature(
    inputs=tuple(Feature(name=f"x{number}") for number in range(4)), classes=("0", "1", "2"), class_values=(0, 1, 2)
)
CHURN = Signature(inputs=MIXED_INPUTS, classes=("left", "stayed"), ignored=("id",))


def gappy_flowers() -> Given:
    matrix = IRIS.data[::20].copy()
    matrix[::2, 1] = np.nan
    return matrix, [[None if np.isnan(value) else value for value in row] for row in matrix.tolist()]


def as_category() -> pd.DataFrame:
    return customers().drop(columns=["id"]).assign(city=customers()["city"].astype("category"))


def with_none() -> pd.DataFrame:
    """Strings as objects, None where missing, as pandas had them before it had strings of its own."""
    city = customers()["city"].astype(object)
    return customers()[["age"]].assign(city=city.where(city.notna(), None))


TEXTS = ["cheap pills now", "meeting at noon", "cheap watches", "lunch at noon tomorrow"]
LETTERS = [["a", "x"], ["b", "y"], ["a", "y"], ["b", "x"]]

# name, fit, what it is asked, signature that is read of it without any hint
ESTIMATORS: list[tuple[str, Callable[[], Any], Callable[[], Given], Signature | None]] = [
    ("logistic regression", lambda: LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), FLOWERS, NUMBERED),
    ("named classes", lambda: LogisticRegression(max_iter=500).fit(IRIS.data, NAMED), FLOWERS, None),
    ("true and false", lambda: LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target == 1), FLOWERS,
     Signature(inputs=NUMBERED.inputs, classes=("false", "true"), class_values=(False, True))),
    ("forest", lambda: RandomForestClassifier(10, random_state=0, n_jobs=2).fit(IRIS.data, IRIS.target), FLOWERS,
     Signature(inputs=tuple(Feature(name=f"x{number}", nullable=True) for number in range(4)),
               classes=("0", "1", "2"), class_values=(0, 1, 2))),
    ("numbers of a frame", lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(
        customers()[["age", "rooms"]], churned()),
     lambda: (customers()[["age", "rooms"]][:6], rows_of(customers()[:6], "age", "rooms")),
     Signature(inputs=(Feature(name="age"), Feature(name="rooms")), classes=("left", "stayed"))),
    ("no probabilities", lambda: RidgeClassifier().fit(IRIS.data, IRIS.target), FLOWERS, NUMBERED),
    ("not its most probable class", lambda: SVC().fit(IRIS.data, IRIS.target), FLOWERS, NUMBERED),
    ("regression", lambda: LinearRegression().fit(DIABETES.data, DIABETES.target), PATIENTS,
     Signature(inputs=tuple(Feature(name=f"x{number}") for number in range(10)))),
    ("a target of one column", lambda: LinearRegression().fit(DIABETES.data, DIABETES.target[:, None]),
     PATIENTS, None),
    ("a transformed target", lambda: TransformedTargetRegressor(LinearRegression(), transformer=StandardScaler()).fit(
        DIABETES.data, DIABETES.target), PATIENTS, None),
    ("many outputs", lambda: MultiOutputRegressor(LinearRegression()).fit(
        DIABETES.data, np.c_[DIABETES.target, -DIABETES.target]), PATIENTS, None),
    ("many outputs with classes", lambda: MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(
        IRIS.data, np.c_[NAMED, NAMED[::-1]]), FLOWERS, Signature(inputs=NUMBERED.inputs)),
    ("several labels a row", lambda: OneVsRestClassifier(LogisticRegression(max_iter=500)).fit(
        IRIS.data, several_labels()), FLOWERS, Signature(inputs=NUMBERED.inputs)),
    ("several labels a row, learnt from a sparse matrix", lambda: OneVsRestClassifier(
        LogisticRegression(max_iter=500)).fit(IRIS.data, csr_matrix(several_labels())), FLOWERS,
        Signature(inputs=NUMBERED.inputs)),
    ("a search over several labels a row", lambda: GridSearchCV(
        make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=500))),
        {"onevsrestclassifier__estimator__C": [0.1]}, cv=KFold(2, shuffle=True, random_state=0)).fit(
            IRIS.data, several_labels()), FLOWERS,
        Signature(inputs=NUMBERED.inputs)),
    ("outliers", lambda: IsolationForest(n_estimators=5, random_state=0).fit(IRIS.data), FLOWERS, None),
    ("mixed types with missing values", lambda: make_pipeline(mixed(), LogisticRegression()).fit(
        customers(), churned()), CUSTOMERS, CHURN),
    ("a search over mixed types", lambda: GridSearchCV(
        make_pipeline(mixed(), LogisticRegression()), {"logisticregression__C": [0.1]}, cv=2).fit(
        customers(), churned()), CUSTOMERS, CHURN),
    ("a vote over mixed types", lambda: VotingClassifier(
        [("a", make_pipeline(mixed(), LogisticRegression()))],
        voting="soft").fit(customers(), churned()), CUSTOMERS, CHURN),
    ("boosting with missing numbers", lambda: HistGradientBoostingClassifier(max_iter=5).fit(
        IRIS.data, IRIS.target), gappy_flowers,
     Signature(inputs=tuple(Feature(name=f"x{number}", nullable=True) for number in range(4)),
               classes=("0", "1", "2"), class_values=(0, 1, 2))),
    ("boosting with categories", lambda: HistGradientBoostingClassifier(
        max_iter=5, categorical_features="from_dtype").fit(as_category(), churned()),
     lambda: (as_category()[:6], rows_of(customers()[:6], "age", "income", "city", "rooms", "member")), None),
    ("None as a category", lambda: make_pipeline(
        ColumnTransformer([("words", OneHotEncoder(), ["city"])]), LogisticRegression()).fit(with_none(), churned()),
     lambda: (with_none()[:6], rows_of(customers()[:6], "city")),
     Signature(inputs=(MIXED_INPUTS[2],), classes=("left", "stayed"),
               ignored=tuple(name for name in with_none() if name != "city"))),
    ("strings in an array", lambda: make_pipeline(OrdinalEncoder(), LogisticRegression()).fit(
        np.array(LETTERS, dtype=object), [0, 1, 0, 1]),
     lambda: (np.array(LETTERS, dtype=object), LETTERS),
     Signature(inputs=(Feature(name="x0", type="string", categories=("a", "b"), example="a"),
                       Feature(name="x1", type="string", categories=("x", "y"), example="x")),
               classes=("0", "1"), class_values=(0, 1))),
    ("a pipeline that ends in XGBoost", lambda: make_pipeline(mixed(), XGBClassifier(n_estimators=3)).fit(
        customers(), churned() == "left"), CUSTOMERS,
     Signature(inputs=BOOSTED_INPUTS, classes=("0", "1"), class_values=(0, 1), ignored=("id",))),
    ("a pipeline that ends in LightGBM", lambda: make_pipeline(mixed(), LGBMClassifier(n_estimators=3, verbose=-1)).fit(
        customers(), churned()), CUSTOMERS, Signature(
            inputs=BOOSTED_INPUTS, classes=("left", "stayed"), ignored=("id",))),
    ("texts", lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, [1, 0, 1, 0]),
     lambda: (TEXTS, [[text] for text in TEXTS]),
     Signature(inputs=(Feature(name="text", type="string"),), classes=("0", "1"), class_values=(0, 1))),
]  # fmt: skip

# A model as its publisher may know it better: what a sample adds, and names for the classes.
SAMPLED = Case(
    "mixed types with a sample",
    "sklearn-pickle",
    lambda: fitted(
        lambda: make_pipeline(mixed(), LogisticRegression()).fit(customers(), churned()),
        CUSTOMERS,
        WRITERS["sklearn-pickle"],
    ),
    Hints(from_frame(customers()).inputs, ("gone", "here")),
    Signature(
        inputs=(
            Feature(name="age", nullable=True, minimum=18, maximum=89, example=56),
            Feature(name="income", nullable=True, minimum=0.3006901069229073, maximum=994.0267712099843,
                    example=from_frame(customers()).inputs[2].example),
            Feature(name="city", type="string", nullable=True, categories=("Paris", "Rome"), example="Rome"),
            Feature(name="rooms", type="integer", categories=(1, 2, 3), minimum=1, maximum=3, example=2),
            Feature(name="member", type="boolean", categories=(False, True), example=False),
        ),
        classes=("gone", "here"),
        class_values=("left", "stayed"),
        ignored=("id",),
    ),
)  # fmt: skip

THRESHOLD = b"""
class Threshold:
    inputs = {"amount": "number", "country": {"type": "string", "nullable": True}}
    classes = {"fine": 0, "fraud": 1}

    def load(self):
        self.limits = {"IT": 10.0, None: 5.0}

    def predict(self, rows):
        guilty = [int(amount > self.limits.get(country, 7.0)) for amount, country in rows]
        return {"predictions": guilty, "probabilities": [[1.0 - one, float(one)] for one in guilty]}
"""
ARRAYS = b'''
import numpy as np
from dataclasses import dataclass


@dataclass
class Weights:
    values: "list[float]"


class Model:
    """The other class does not predict."""

    @classmethod
    def load(cls):
        made = cls()
        made.weights = Weights([1.0, 2.0])
        return made

    def predict(self, rows):
        return np.asarray(rows) @ self.weights.values
'''
PYTHON = [
    Case(
        "a classifier of its own",
        "python",
        lambda: Expected(
            THRESHOLD, [[12.0, "IT"], [6.0, None], [6.0, "FR"]], [1, 1, 0], [[0, 1], [0, 1], [1, 0]], [0, 1]
        ),
        signature=Signature(
            inputs=(Feature(name="amount"), Feature(name="country", type="string", nullable=True)),
            classes=("fine", "fraud"),
            class_values=(0, 1),
        ),
    ),
    Case(
        "arrays, and inputs of a sample",
        "python",
        lambda: Expected(ARRAYS, [[1.0, 2.0], [3.0, 4.0]], [5.0, 11.0]),
        Hints((Feature(name="a", minimum=1, maximum=3), Feature(name="b"))),
        Signature(inputs=(Feature(name="a", minimum=1, maximum=3), Feature(name="b"))),
    ),
]

# The rest is the same code behind another reader.
AS_SKOPS = {
    "logistic regression", "forest", "many outputs", "mixed types with missing values", "boosting with categories",
    "texts",
}  # fmt: skip
CASES = [
    *(
        Case(name, format_name, partial(fitted, fit, given, write), signature=signature)
        for format_name, write in WRITERS.items()
        for name, fit, given, signature in ESTIMATORS
        if format_name == "sklearn-pickle" or name in AS_SKOPS
    ),
    SAMPLED,
    *PYTHON,
]
