"""Pipelines as people bring them are compiled, and answer as their library does, with a sample and without."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, TargetEncoder
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

from runtimes.pipelines.comparison import compare
from runtimes.pipelines.customers import KINDS, NUMBERS, band, customers, encoded, leaves, numbered, worth
from runtimes.pipelines.data import texts
from runtimes.pipelines.generator import Trained

ROWS = 2_000
QUICK: dict[str, Any] = {"n_estimators": 8, "max_depth": 4}
Target = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries', about names and convergence
        yield


def logged() -> ColumnTransformer:
    return ColumnTransformer([
        ("log", make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)), NUMBERS),
        ("kinds", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.3), KINDS),
    ])  # fmt: skip


def flagged() -> ColumnTransformer:
    return ColumnTransformer([
        ("kinds", TargetEncoder(cv=2, random_state=0), KINDS), ("numbers", SimpleImputer(add_indicator=True), NUMBERS),
    ])  # fmt: skip


def binned() -> ColumnTransformer:
    bins = KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    return ColumnTransformer(
        [("bins", make_pipeline(SimpleImputer(), bins), NUMBERS), ("kinds", OneHotEncoder(), KINDS)]
    )


BROUGHT: dict[str, tuple[Any, Target]] = {
    "logistic regression": (make_pipeline(encoded(), LogisticRegression(max_iter=300)), leaves),
    "three bands": (make_pipeline(logged(), LogisticRegression(max_iter=300)), band),
    "target encoding and flags": (make_pipeline(flagged(), LogisticRegression()), leaves),
    "bins": (make_pipeline(binned(), SelectKBest(k=5), LogisticRegression()), leaves),
    "a forest": (make_pipeline(encoded(), RandomForestClassifier(20, max_depth=6, random_state=0)), leaves),
    "gradient boosting": (make_pipeline(encoded(), GradientBoostingClassifier(n_estimators=8)), band),
    "histogram boosting": (make_pipeline(encoded(), HistGradientBoostingClassifier(max_iter=10)), leaves),
    "histogram boosting of gaps": (make_pipeline(numbered(), HistGradientBoostingRegressor(max_iter=10)), worth),
    "LightGBM": (make_pipeline(encoded(), LGBMClassifier(**QUICK, verbose=-1)), band),
    "LightGBM of counts": (make_pipeline(numbered(), LGBMRegressor(**QUICK, objective="poisson", verbose=-1)), worth),
    "XGBoost": (make_pipeline(encoded(), XGBClassifier(**QUICK)), leaves),
    "XGBoost of gaps": (make_pipeline(numbered(), XGBRegressor(**QUICK)), worth),
    "XGBoost of counts": (make_pipeline(numbered(), XGBRegressor(**QUICK, objective="count:poisson")), worth),
    "a network": (make_pipeline(encoded(), MLPClassifier((8,), max_iter=20, random_state=0)), leaves),
    "a vote": (make_pipeline(encoded(), VotingClassifier(
        [("one", LogisticRegression()), ("other", RandomForestClassifier(5, max_depth=4))], voting="soft",
    )), leaves),
    "a stack": (make_pipeline(encoded(), StackingClassifier(
        [("one", LogisticRegression()), ("other", DecisionTreeClassifier(max_depth=3))], cv=2,
    )), leaves),
    "calibrated": (make_pipeline(encoded(), CalibratedClassifierCV(
        DecisionTreeClassifier(max_depth=3, random_state=0), cv=2, method="isotonic",
    )), leaves),
    "a tuned threshold": (TunedThresholdClassifierCV(make_pipeline(encoded(), LogisticRegression()), cv=2), leaves),
    "a search": (GridSearchCV(make_pipeline(encoded(), Ridge()), {"ridge__alpha": [1.0, 9.0]}, cv=2), worth),
    "the logarithm of a target": (TransformedTargetRegressor(
        make_pipeline(encoded(), Ridge()), func=np.log1p, inverse_func=np.expm1,
    ), worth),
    "a generalized linear model": (make_pipeline(encoded(), PoissonRegressor()), worth),
}  # fmt: skip


# The default suite takes the commonest, with a sample; the slow one all others, and the commonest without.
COMMON = {"logistic regression", "a forest", "histogram boosting", "LightGBM", "XGBoost of gaps", "a stack"}


@pytest.mark.parametrize(
    ("name", "sampled"),
    [
        *(pytest.param(name, True, marks=[] if name in COMMON else [pytest.mark.slow]) for name in BROUGHT),
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in sorted(COMMON)),
    ],
)
def test_a_pipeline_of_customers_is_compiled_and_right(name: str, *, sampled: bool) -> None:
    estimator, target = BROUGHT[name]
    frame = customers(np.random.default_rng(0), 600)
    model = Trained(name, estimator.fit(frame, target(frame)), frame, lambda one: one, customers)
    found = compare(model, 1, ROWS, sampled=sampled)
    assert found.faults == []
    assert (found.form, found.why) == ("compiled", "")


VECTORIZERS: dict[str, Any] = {
    "words": TfidfVectorizer(),
    "words without lower case": TfidfVectorizer(lowercase=False, strip_accents="unicode", sublinear_tf=True),
    "pairs of words": CountVectorizer(ngram_range=(1, 2), stop_words="english", binary=True),
    "groups of characters": TfidfVectorizer(analyzer="char", ngram_range=(2, 3), max_features=400),
    "groups inside words": CountVectorizer(analyzer="char_wb", ngram_range=(1, 4), strip_accents="ascii"),
    "both": make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3))),
    "letters": CountVectorizer(token_pattern=r"(?u)\b\w+\b"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "last"),
    [
        *((name, LogisticRegression(max_iter=300)) for name in VECTORIZERS),
        *(pytest.param(name, MultinomialNB(), marks=pytest.mark.slow) for name in ("words", "both")),
    ],
)
def test_a_model_of_texts_is_compiled_and_right(name: str, last: Any) -> None:
    chance = np.random.default_rng(3)
    learnt = texts(chance, 300)
    target = np.array([("good" in text.lower()) + 0 for text in learnt])
    estimator = make_pipeline(VECTORIZERS[name], last).fit(learnt, target)

    def fresh(chance: np.random.Generator, count: int) -> Any:
        odd = ["", "a", "É b c", "tab\tand\nline", "two  blanks   three", "😀 ok", "ÀÉ naïve I", "x" * 3_000]
        return pd.DataFrame({"text": pd.Series([*texts(chance, count - len(odd)), *odd], dtype=object)})

    frame = pd.DataFrame({"text": pd.Series(learnt, dtype=object)})
    found = compare(Trained(name, estimator, frame, lambda one: one["text"].tolist(), fresh), 1, ROWS, sampled=True)
    assert found.faults == []
    assert (found.form, found.why) == ("compiled", "")
