"""Graphs and boosters: ONNX as exporters write it, XGBoost and LightGBM files of both of their interfaces."""

import tempfile
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ai_platform.runtimes.base.runtime import Hints, Value
from ai_platform.runtimes.base.signature import Feature, Signature
from runtimes.conformance.cases import Case, Expected

IRIS, DIABETES = load_iris(), load_diabetes()
NAMED = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]
FLOWERS, PATIENTS = IRIS.data[::20], DIABETES.data[:8]
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
GAPPY = np.where(np.arange(FLOWERS.size).reshape(FLOWERS.shape) % 5 == 0, np.nan, FLOWERS)


def four(**more: Any) -> tuple[Feature, ...]:
    return tuple(Feature(name=f"x{number}", **more) for number in range(4))


def rows_of(matrix: Any) -> list[list[Value]]:
    return [[None if pd.isna(value) else value for value in row] for row in matrix.tolist()]


def exported(fit: Callable[[], Any], rows: Any, types: Any = DoubleTensorType, **options: Any) -> Expected:
    """An estimator as skl2onnx writes it, with the answers of the estimator."""
    estimator = fit()
    given = types([None, rows.shape[1]])
    written = to_onnx(estimator, initial_types=[("X", given)], options={id(estimator): options} if options else None)
    return expected_of(estimator, rows, rows_of(rows), written.SerializeToString())


def expected_of(estimator: Any, given: Any, rows: list[list[Value]], artifact: bytes) -> Expected:
    has_probabilities = hasattr(estimator, "predict_proba")
    classes = getattr(estimator, "classes_", None)
    return Expected(
        artifact,
        rows,
        estimator.predict(given).tolist(),
        estimator.predict_proba(given).tolist() if has_probabilities else None,
        None if classes is None else classes.tolist(),
    )


@cache
def customers() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    return pd.DataFrame({
        "age": chance.normal(40, 9, 120), "rooms": chance.integers(1, 4, 120),
        "city": chance.choice(["Paris", "Rome"], 120), "member": chance.random(120) < 0.5,
    })  # fmt: skip


@cache
def churned() -> Any:
    return np.where(np.random.default_rng(1).random(120) + (customers()["city"] == "Rome") < 0.8, "left", "stayed")


def columns() -> Expected:
    """One input a column, of four types."""
    transformer = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]), ("rooms", OneHotEncoder(), ["rooms"]),
        ("words", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("flags", "passthrough", ["member"]),
    ])  # fmt: skip
    estimator = make_pipeline(transformer, LogisticRegression()).fit(customers(), churned())
    kinds = (FloatTensorType, Int64TensorType, StringTensorType, BooleanTensorType)
    types = [(name, kind([None, 1])) for name, kind in zip(customers().columns, kinds, strict=True)]
    written = to_onnx(estimator, initial_types=types)
    asked = customers().iloc[:8]
    return expected_of(estimator, asked, asked.to_numpy(object).tolist(), written.SerializeToString())


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> bytes:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())


WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -0.5]], dtype=np.float32)


def neural() -> Expected:
    """As a deep-learning library exports a classifier: a softmax, and no labels."""
    content = graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"]), helper.make_node("Softmax", ["logits"], ["p"], axis=1)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    rows = [[1.0, 0.0], [0.0, 1.0], [-2.0, -1.0]]
    odds = np.exp(np.array(rows) @ WEIGHTS)
    chances = odds / odds.sum(axis=1, keepdims=True)
    return Expected(content, list(rows), chances.argmax(axis=1).tolist(), chances.tolist(), [0, 1, 2])  # type: ignore[arg-type]


def flat() -> Expected:
    """A regressor with inputs of one dimension."""
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.DOUBLE, shape=["n"])
    content = graph([helper.make_node("Add", ["a", "b"], ["y"])], [value("a"), value("b")], [value("y")], [])
    return Expected(content, [[1.0, 2.0], [3.0, 4.5]], [3.0, 7.5])


def saved(model: Any, ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"model{ending}"
        model.save_model(path)
        return path.read_bytes()


def xgboost_wrapped(target: Any, ending: str, given: Any = GAPPY, **options: Any) -> Expected:
    """A model of the scikit-learn interface."""
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, **options).fit(IRIS.data, target)
    return expected_of(model, given, rows_of(np.asarray(given)), saved(model, ending))


def xgboost_stopped() -> Expected:
    """The wrapper predicts with the best round of early stopping."""
    model = xgboost.XGBClassifier(n_estimators=30, n_jobs=1, learning_rate=1.0, early_stopping_rounds=5)
    model.fit(IRIS.data[::2], IRIS.target[::2], eval_set=[(IRIS.data[1::2], IRIS.target[1::2])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    return expected_of(model, FLOWERS, rows_of(FLOWERS), saved(model, ".json"))


def xgboost_native(objective: str, ending: str = ".ubj", names: tuple[str, ...] | None = None) -> Expected:
    data = xgboost.DMatrix(IRIS.data, IRIS.target, feature_names=list(names) if names else None)
    options = {"objective": objective, "nthread": 1} | ({"num_class": 3} if objective.startswith("multi") else {})
    model = xgboost.train(options, data, 5)
    answer = model.predict(xgboost.DMatrix(FLOWERS, feature_names=list(names) if names else None))
    if objective == "multi:softprob":
        return Expected(saved(model, ending), rows_of(FLOWERS), answer.argmax(axis=1).tolist(), answer.tolist(),
                        [0, 1, 2])  # fmt: skip
    if objective == "multi:softmax":
        return Expected(saved(model, ending), rows_of(FLOWERS), answer.astype(int).tolist(), None, [0, 1, 2])
    return Expected(saved(model, ending), rows_of(FLOWERS), answer.tolist())


def xgboost_many_outputs() -> Expected:
    target = np.c_[DIABETES.target, -DIABETES.target]
    model = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(DIABETES.data, target)
    return expected_of(model, PATIENTS, rows_of(PATIENTS), saved(model, ".json"))


def lightgbm_wrapped(target: Any, values: Any, given: Any = GAPPY) -> Expected:
    """Of LGBMClassifier's file only the booster is left, which numbers the classes."""
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(IRIS.data, target)
    chances = np.asarray(model.predict_proba(given))
    text = model.booster_.model_to_string().encode()
    return Expected(text, rows_of(given), chances.argmax(axis=1).tolist(), chances.tolist(), values)


def lightgbm_categories() -> Expected:
    frame = customers().assign(
        city=pd.Categorical(customers()["city"]), rooms=pd.Categorical(customers()["rooms"]), constant=1.0
    )
    model = lightgbm.LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1, min_child_samples=5)
    model.fit(frame, np.where(customers()["city"] == "Rome", 5.0, 1.0) + customers()["rooms"])
    asked = frame.iloc[:10].copy()
    asked.loc[0, "city"] = None
    asked["city"] = asked["city"].cat.add_categories("Oslo")
    asked.loc[1, "city"] = "Oslo"
    answers = model.predict(asked.assign(city=asked["city"].cat.set_categories(["Paris", "Rome"])))
    return Expected(
        model.booster_.model_to_string().encode(), rows_of(asked.to_numpy(object)), np.asarray(answers).tolist()
    )


def lightgbm_native(objective: str) -> Expected:
    options = {"objective": objective, "num_threads": 1, "verbosity": -1}
    data = lightgbm.Dataset(DIABETES.data, DIABETES.target.astype(int) // 50, group=[442])
    model = lightgbm.train(options, data, 5)
    answer = np.asarray(model.predict(PATIENTS))
    return Expected(model.model_to_string().encode(), rows_of(PATIENTS), answer.tolist())


def lr(target: Any = IRIS.target) -> Any:
    return LogisticRegression(max_iter=500).fit(IRIS.data, target)


NUMBERED = Signature(inputs=four(), classes=("0", "1", "2"), class_values=(0, 1, 2))
MISSING = Signature(inputs=four(nullable=True), classes=("0", "1", "2"), class_values=(0, 1, 2))
PLAIN = partial(Case, format="onnx")
ONNX = [
    PLAIN("doubles", build=lambda: exported(lr, FLOWERS, zipmap=False), signature=NUMBERED),
    PLAIN("maps from numbers", build=lambda: exported(lr, FLOWERS, FloatTensorType), signature=NUMBERED),
    PLAIN("maps from names", build=lambda: exported(lambda: lr(NAMED), FLOWERS, FloatTensorType),
          signature=Signature(inputs=four(), classes=("setosa", "versicolor", "virginica"))),
    PLAIN("named by its publisher", build=lambda: exported(lr, FLOWERS, FloatTensorType),
          hints=Hints(tuple(Feature(name=name, minimum=0.1, example=1.0) for name in NAMES), ("a", "b", "c")),
          signature=Signature(inputs=tuple(Feature(name=name, minimum=0.1, example=1.0) for name in NAMES),
                              classes=("a", "b", "c"), class_values=(0, 1, 2))),
    PLAIN("a forest", build=lambda: exported(
        lambda: RandomForestClassifier(10, random_state=0, n_jobs=1).fit(IRIS.data, IRIS.target), FLOWERS,
        FloatTensorType), signature=NUMBERED),
    PLAIN("scores that are no probabilities", build=lambda: exported(
        lambda: RidgeClassifier().fit(IRIS.data, IRIS.target), FLOWERS, FloatTensorType, zipmap=False),
        signature=NUMBERED),
    PLAIN("labels picked from a constant", build=lambda: exported(
        lambda: KNeighborsClassifier(3).fit(IRIS.data, IRIS.target * 10), FLOWERS, FloatTensorType, zipmap=False),
        signature=Signature(inputs=four(), classes=("0", "10", "20"), class_values=(0, 10, 20))),
    PLAIN("a regressor", build=lambda: exported(
        lambda: LinearRegression().fit(DIABETES.data, DIABETES.target), PATIENTS),
        signature=Signature(inputs=tuple(Feature(name=f"x{number}") for number in range(10)))),
    PLAIN("many outputs", build=lambda: exported(
        lambda: LinearRegression().fit(DIABETES.data, np.c_[DIABETES.target, -DIABETES.target]), PATIENTS)),
    PLAIN("whole numbers", build=lambda: exported(
        lambda: LogisticRegression(max_iter=500).fit(IRIS.data.astype(int), IRIS.target), FLOWERS.astype(int),
        Int64TensorType), signature=Signature(inputs=four(type="integer"), classes=("0", "1", "2"),
                                              class_values=(0, 1, 2))),
    PLAIN("columns of four types", build=columns, signature=Signature(
        inputs=(Feature(name="age"), Feature(name="rooms", type="integer"), Feature(name="city", type="string"),
                Feature(name="member", type="boolean")), classes=("left", "stayed"))),
    PLAIN("a softmax without labels", build=neural, hints=Hints(classes=("a", "b", "c")), signature=Signature(
        inputs=(Feature(name="x0"), Feature(name="x1")), classes=("a", "b", "c"), class_values=(0, 1, 2))),
    PLAIN("inputs of one dimension", build=flat,
          signature=Signature(inputs=(Feature(name="a"), Feature(name="b")))),
]  # fmt: skip
XGBOOST = [
    Case("wrapped, three classes", "xgboost", lambda: xgboost_wrapped(IRIS.target, ".json"), signature=MISSING),
    Case("wrapped, two classes", "xgboost", lambda: xgboost_wrapped(IRIS.target % 2, ".ubj"),
         Hints(classes=("no", "yes")),
         Signature(inputs=four(nullable=True), classes=("no", "yes"), class_values=(0, 1))),
    Case("wrapped, stopped early", "xgboost", xgboost_stopped, signature=MISSING),
    Case("probabilities", "xgboost", lambda: xgboost_native("multi:softprob", names=NAMES), signature=Signature(
        inputs=tuple(Feature(name=name, nullable=True) for name in NAMES), classes=("0", "1", "2"),
        class_values=(0, 1, 2))),
    Case("labels only", "xgboost", lambda: xgboost_native("multi:softmax", ".json"), signature=MISSING),
    Case("a regressor", "xgboost", lambda: xgboost_native("reg:squarederror"),
         signature=Signature(inputs=four(nullable=True))),
    Case("counts", "xgboost", lambda: xgboost_native("count:poisson")),
    Case("many outputs", "xgboost", xgboost_many_outputs),
]  # fmt: skip
LIGHTGBM = [
    Case("three classes", "lightgbm", lambda: lightgbm_wrapped(IRIS.target, [0, 1, 2]), signature=MISSING),
    Case("two classes with names", "lightgbm", lambda: lightgbm_wrapped(NAMED == "setosa", [0, 1]),
         Hints(classes=("other", "setosa")),
         Signature(inputs=four(nullable=True), classes=("other", "setosa"), class_values=(0, 1))),
    Case("categories", "lightgbm", lightgbm_categories, signature=Signature(inputs=(
        Feature(name="age", nullable=True),
        Feature(name="rooms", type="integer", nullable=True, categories=(1, 2, 3), example=1),
        Feature(name="city", type="string", nullable=True, categories=("Paris", "Rome"), example="Paris"),
        Feature(name="member", nullable=True), Feature(name="constant", nullable=True)))),
    Case("a regressor", "lightgbm", lambda: lightgbm_native("regression")),
    Case("a ranker", "lightgbm", lambda: lightgbm_native("lambdarank")),
]  # fmt: skip
CASES = [*ONNX, *XGBOOST, *LIGHTGBM]
