"""Settings and values that a rule of lowering could overlook: what compiles is right, and the rest says why not."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from ai_platform.runtimes.base.runtime import Hints, LoadedModel
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.compiler.compiling import Compiled, Refusal, compile_to_onnx
from ai_platform.runtimes.onnx.texts import Counter, TextInput
from ai_platform.runtimes.samples import from_frame
from ai_platform.runtimes.sklearn.model import as_served
from ai_platform.runtimes.sklearn.signature import signature_of

CHANCE = np.random.default_rng(5)
X = CHANCE.normal(size=(400, 3))
Y = (X[:, 0] + 0.3 * CHANCE.normal(size=400) > 0).astype(int)
GAPS = np.where(CHANCE.random(X.shape) < 0.2, -999.0, X)
TEXT: dict[str, Any] = {
    "place": 0, "analyzer": "char_wb", "lowercase": False, "strip_accents": None, "token_pattern": r"\w+",
    "shortest": 1, "longest": 2, "stop_words": None, "vocabulary": {"a": 0}, "binary": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries', about names and logarithms
        yield


def both(estimator: Any, sample: Any = None) -> tuple[LoadedModel, LoadedModel | Refusal]:
    """A fitted estimator in service, and its graph or why there is none."""
    found = from_frame(sample) if sample is not None else None
    signature = signature_of(estimator, Hints(found.inputs if found else None))
    native = as_served(estimator, signature)
    rows = found.rows if found else [[0.1] * len(signature.inputs)]
    compiled = compile_to_onnx(native.estimator, native, signature, rows, largest_bytes=10_000_000)
    if isinstance(compiled, Compiled):
        import io

        return native, FORMATS["onnx"].load(io.BytesIO(compiled.content), signature)
    return native, compiled


def alike(estimator: Any, rows: list[list[Any]], sample: Any = None) -> None:
    native, compiled = both(estimator, sample)
    assert not isinstance(compiled, Refusal), compiled
    ours, theirs = compiled.predict(rows), native.predict(rows)
    if theirs.probabilities is None:
        np.testing.assert_allclose(np.array(ours.predictions, float), np.array(theirs.predictions, float), rtol=1e-6)
    else:
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)  # type: ignore[arg-type]


def test_zeros_of_a_sparse_matrix_are_missing_to_xgboost() -> None:
    frame = pd.DataFrame({
        "city": CHANCE.choice([f"c{number}" for number in range(20)], 400), "number": X[:, 0] + 0.5, "amount": X[:, 1],
    })  # fmt: skip
    frame.loc[::5, "number"] = np.nan
    target = np.where(frame["number"].isna(), 9, 2 * frame["number"] + frame["amount"].abs())
    columns = ColumnTransformer([
        ("kinds", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("same", "passthrough", ["number", "amount"]),
    ])  # fmt: skip
    estimator = make_pipeline(columns, XGBRegressor(n_estimators=5, max_depth=2)).fit(frame, target)
    assert columns.sparse_output_ if hasattr(columns, "sparse_output_") else estimator[0].sparse_output_
    alike(estimator, [["c1", 0.0, 0.3], ["c2", None, 0.0], ["none", 1.5, -0.2]], frame)


@pytest.mark.parametrize("missing", [-999.0, 0.0])
def test_what_the_wrapper_was_told_is_missing_to_xgboost(missing: float) -> None:
    estimator = XGBClassifier(n_estimators=10, max_depth=3, missing=missing)
    estimator.fit(np.where(GAPS == -999.0, missing, GAPS), Y)
    alike(estimator, [[missing, 0.1, 0.2], [0.3, missing, 0.1], [0.0, -999.0, 1.0]])


@pytest.mark.parametrize("seed", range(6))
def test_a_logistic_regression_compiles_whatever_its_plane(seed: int) -> None:
    chance = np.random.default_rng(seed)
    table = chance.normal(size=(200, 4))
    target = (table @ chance.normal(size=4) + chance.normal(size=200) > 0).astype(int)
    alike(make_pipeline(StandardScaler(), LogisticRegression()).fit(table, target), table.tolist())


def test_a_constant_that_is_a_number_is_filled_in() -> None:
    table = np.where(GAPS == -999.0, np.nan, GAPS)
    estimator = make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), LogisticRegression()).fit(table, Y)
    alike(estimator, [[None, 0.1, 0.2], [0.3, None, None]])


REFUSED: dict[str, Any] = {
    "MissingIndicator takes": make_pipeline(
        make_union(StandardScaler(), MissingIndicator(missing_values=-999.0)), LogisticRegression()
    ).fit(GAPS, Y),
    "MissingIndicator refuses": make_pipeline(
        make_union(SimpleImputer(), MissingIndicator()), LogisticRegression()
    ).fit(np.where(GAPS == -999.0, np.nan, GAPS), Y),
    "CountVectorizer counts in int8": make_pipeline(CountVectorizer(dtype=np.int8), LogisticRegression()).fit(
        ["good one", "bad one"] * 5, [1, 0] * 5
    ),
    "n-grams of more than": make_pipeline(CountVectorizer(ngram_range=(1, 500)), LogisticRegression()).fit(
        ["good one", "bad one"] * 5, [1, 0] * 5
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_a_setting_that_a_rule_does_not_know_is_named(why: str) -> None:
    sample = pd.DataFrame({"text": ["good one", "bad one"]}) if "MissingIndicator" not in why else None
    _native, compiled = both(REFUSED[why], sample)
    assert isinstance(compiled, Refusal)
    assert why in compiled.why


TOO_LARGE: dict[str, tuple[Any, list[Any]]] = {
    "a forest": (RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, Y), [1e50, 0, 0]),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=5).fit(X, Y), [1e50, 0, 0]),
    "a logarithm of less than nothing": (
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(np.abs(X), Y), [-5, 0, 0],
    ),
    "a logarithm of nothing": (
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(np.abs(X), Y), [-1, 0, 0],
    ),
    "a power": (make_pipeline(PolynomialFeatures(4), LogisticRegression()).fit(X, Y), [1e90, 0, 0]),
    "a root": (make_pipeline(FunctionTransformer(np.sqrt), Ridge()).fit(np.abs(X), X[:, 0]), [-1, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_the_library_refuses_as_too_large_or_no_number_is_refused_compiled(name: str) -> None:
    estimator, row = TOO_LARGE[name]
    native, compiled = both(estimator)
    assert not isinstance(compiled, Refusal), compiled
    with pytest.raises(ValueError, match=r"infinity|too large|NaN"):
        native.predict([row])
    with pytest.raises(ValueError, match="too large"):
        compiled.predict([row])
    with pytest.raises(ValueError, match="too large"):
        compiled.predict([[0.1, 0.2, 0.3], row])
    assert len(compiled.predict([[0.1, 0.2, 0.3]])) == 1


@pytest.mark.parametrize(
    "given",
    [{"longest": 10**9}, {"shortest": -(10**9)}, {"shortest": 3}, {"vocabulary": {"a": 1}}, {"vocabulary": {"a": -1}},
     {"token_pattern": r"(a+)+$"}],
)  # fmt: skip
def test_a_coding_that_would_never_end_or_reads_elsewhere_is_not_loaded(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the graph c"):
        Counter(TextInput(**(TEXT | given)))
