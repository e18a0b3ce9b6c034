"""Models as people bring them: pipelines of customers with gaps and texts, and models of sentences."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn import ensemble, linear_model, svm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from runtimes.pipelines.customers import KINDS, NUMBERS, band, customers, encoded, leaves, numbered, worth
from runtimes.pipelines.data import texts

ROWS, SAMPLE_ROWS = 3_000, 300
CHURN = ("churn logistic", "churn forest", "churn histogram", "churn lightgbm", "churn xgboost")
"""The commonest pipeline there is, imputed and one-hot encoded, before the commonest models."""

Target = Callable[[pd.DataFrame], Any]


@dataclass(frozen=True, slots=True)
class Brought:
    """A fitted model.

    Attributes:
        name: for people.
        estimator: fitted.
        frame: what it was fitted on.
        fresh: makes new rows of the same kind.
        is_of_texts: whether it takes a list of texts, and not a frame.
    """

    name: str
    estimator: Any
    frame: pd.DataFrame
    fresh: Callable[[np.random.Generator, int], pd.DataFrame]
    is_of_texts: bool = False

    @property
    def slug(self) -> str:
        """The name under which it is published."""
        return f"zoo-{self.name.replace(' ', '-')}"

    def takes(self, frame: pd.DataFrame) -> Any:
        """What the estimator is given of a frame."""
        return frame["text"].tolist() if self.is_of_texts else frame


def zoo() -> Iterator[Brought]:
    """Each of them, fitted when it is asked for."""
    frame = customers(np.random.default_rng(0), ROWS)
    for name, estimator, target in _of_customers():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the libraries', about names and convergence
            yield Brought(name, estimator.fit(frame, target(frame)), frame, customers)
    yield from _of_texts()


def _of_customers() -> Iterator[tuple[str, Any, Target]]:
    for preparation, target, models in (
        (encoded, leaves, _classifiers()),
        (encoded, band, _of_bands()),
        (numbered, leaves, _of_numbers()),
        (numbered, worth, _trees_of_worth()),
        (encoded, worth, _regressors()),
    ):
        for name, model in models:
            yield name, make_pipeline(preparation(), model), target
    for name, columns in _preparations():
        yield name, make_pipeline(columns, LogisticRegression(max_iter=500)), leaves
    yield "tuned threshold", TunedThresholdClassifierCV(make_pipeline(encoded(), LogisticRegression()), cv=2), leaves
    yield "grid search", GridSearchCV(make_pipeline(encoded(), Ridge()), {"ridge__alpha": [1.0, 9.0]}, cv=2), worth
    logged = TransformedTargetRegressor(make_pipeline(encoded(), Ridge()), func=np.log1p, inverse_func=np.expm1)
    yield "log target", logged, worth


def _classifiers() -> list[tuple[str, Any]]:
    forest = ensemble.RandomForestClassifier(20, max_depth=6, random_state=0)
    return [
        (CHURN[0], LogisticRegression(max_iter=500)),
        (CHURN[1], ensemble.RandomForestClassifier(200, max_depth=8, random_state=0)),
        (CHURN[2], ensemble.HistGradientBoostingClassifier(random_state=0)),
        (CHURN[3], LGBMClassifier(verbose=-1)),
        (CHURN[4], XGBClassifier()),
        ("gradient boosting", ensemble.GradientBoostingClassifier(random_state=0)),
        ("extra trees", ensemble.ExtraTreesClassifier(100, max_depth=8, random_state=0)),
        ("decision tree", DecisionTreeClassifier(max_depth=8, random_state=0)),
        ("network", MLPClassifier((32, 16), max_iter=60, random_state=0)),
        ("linear svm", LinearSVC()),
        ("calibrated svm", CalibratedClassifierCV(LinearSVC(), cv=3)),
        ("isotonic", CalibratedClassifierCV(forest, cv=2, method="isotonic")),
        ("descent", linear_model.SGDClassifier(loss="log_loss", random_state=0)),
        ("ridge classifier", linear_model.RidgeClassifier()),
        ("discriminant", LinearDiscriminantAnalysis()),
        ("bernoulli bayes", BernoulliNB()),
        ("adaboost", ensemble.AdaBoostClassifier(n_estimators=30, random_state=0)),
        ("bagging", ensemble.BaggingClassifier(DecisionTreeClassifier(max_depth=5), random_state=0)),
        ("soft vote", ensemble.VotingClassifier([("a", LogisticRegression()), ("b", forest)], voting="soft")),
        ("hard vote", ensemble.VotingClassifier([("a", LogisticRegression()), ("b", forest), ("c", LinearSVC())])),
        ("stack", ensemble.StackingClassifier([("a", LogisticRegression()), ("b", forest)], cv=2)),
        ("neighbours", KNeighborsClassifier()),
        ("kernel svm", SVC()),
    ]


def _of_bands() -> list[tuple[str, Any]]:
    return [
        ("bands logistic", LogisticRegression(max_iter=500)),
        ("bands forest", ensemble.RandomForestClassifier(50, max_depth=8, random_state=0)),
        ("bands histogram", ensemble.HistGradientBoostingClassifier(max_iter=50, random_state=0)),
        ("bands lightgbm", LGBMClassifier(n_estimators=50, verbose=-1)),
        ("bands network", MLPClassifier((32,), max_iter=60, random_state=0)),
        ("bands one against rest", OneVsRestClassifier(LogisticRegression(max_iter=500))),
        ("bands gradient boosting", ensemble.GradientBoostingClassifier(n_estimators=30, random_state=0)),
    ]


def _of_numbers() -> list[tuple[str, Any]]:
    return [
        ("gaps forest", ensemble.RandomForestClassifier(100, max_depth=8, random_state=0)),
        ("gaps histogram", ensemble.HistGradientBoostingClassifier(random_state=0)),
        ("gaps lightgbm", LGBMClassifier(verbose=-1)),
        ("gaps lightgbm forest", LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, verbose=-1)),
        ("gaps xgboost", XGBClassifier()),
        ("gaps tree", DecisionTreeClassifier(max_depth=8, random_state=0)),
    ]


def _trees_of_worth() -> list[tuple[str, Any]]:
    return [
        ("worth forest", ensemble.RandomForestRegressor(100, max_depth=8, random_state=0)),
        ("worth extra trees", ensemble.ExtraTreesRegressor(100, max_depth=8, random_state=0)),
        ("worth histogram", ensemble.HistGradientBoostingRegressor(random_state=0)),
        ("worth histogram poisson", ensemble.HistGradientBoostingRegressor(loss="poisson", random_state=0)),
        ("worth lightgbm", LGBMRegressor(verbose=-1)),
        ("worth lightgbm quantile", LGBMRegressor(objective="quantile", alpha=0.9, verbose=-1)),
        ("worth lightgbm dart", LGBMRegressor(boosting_type="dart", n_estimators=50, verbose=-1)),
        ("worth xgboost", XGBRegressor()),
        ("worth xgboost gamma", XGBRegressor(objective="reg:gamma")),
        ("worth xgboost dart", XGBRegressor(booster="dart", n_estimators=20)),
        ("worth tree", DecisionTreeRegressor(max_depth=8, random_state=0)),
    ]


def _regressors() -> list[tuple[str, Any]]:
    return [
        ("worth ridge", Ridge()),
        ("worth lasso", linear_model.Lasso(0.01)),
        ("worth elastic net", linear_model.ElasticNet(0.01)),
        ("worth huber", linear_model.HuberRegressor(max_iter=500)),
        ("worth poisson", linear_model.PoissonRegressor()),
        ("worth linear svm", svm.LinearSVR()),
        ("worth network", MLPRegressor(hidden_layer_sizes=(32,), max_iter=60, random_state=0)),
        ("worth gradient boosting", ensemble.GradientBoostingRegressor(random_state=0)),
        ("worth vote", ensemble.VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=4))])),
        ("worth stack", ensemble.StackingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=4))], cv=2)),
    ]


def _preparations() -> Iterator[tuple[str, Any]]:
    kinds = ("kinds", OneHotEncoder(handle_unknown="ignore"), KINDS)
    bins = KBinsDiscretizer(5, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    for name, steps in (
        ("logarithms", [FunctionTransformer(np.log1p)]),
        ("bins", [bins]),
        ("polynomials", [RobustScaler(), PolynomialFeatures(2)]),
        ("power", [PowerTransformer()]),
        ("components", [RobustScaler(), PCA(2)]),
        ("splines", [SplineTransformer()]),
    ):
        yield name, ColumnTransformer([("numbers", make_pipeline(SimpleImputer(), *steps), NUMBERS), kinds])
    flags = SimpleImputer(add_indicator=True)
    yield (
        "targets and flags",
        ColumnTransformer([("kinds", TargetEncoder(random_state=0), KINDS), ("n", flags, NUMBERS)]),
    )
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.3, sparse_output=False)
    columns = ColumnTransformer([("kinds", rare, KINDS), ("numbers", SimpleImputer(), NUMBERS)])
    yield "rare and selected", make_pipeline(columns, SelectKBest(k=5))


def _of_texts() -> Iterator[Brought]:
    learnt = texts(np.random.default_rng(3), ROWS)
    target = np.array([("good" in text.lower()) + ("bad" in text.lower()) for text in learnt])
    frame = pd.DataFrame({"text": pd.Series(learnt, dtype=object)})
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3))

    def fresh(chance: np.random.Generator, count: int) -> pd.DataFrame:
        return pd.DataFrame({"text": pd.Series(texts(chance, count), dtype=object)})

    for name, vectorizer, model in (
        ("words logistic", TfidfVectorizer(), LogisticRegression(max_iter=500)),
        ("words bayes", CountVectorizer(ngram_range=(1, 2)), MultinomialNB()),
        ("words svm", TfidfVectorizer(sublinear_tf=True, strip_accents="unicode"), LinearSVC()),
        ("characters descent", characters, linear_model.SGDClassifier(loss="log_loss", random_state=0)),
        ("words and characters", make_union(TfidfVectorizer(), characters), LogisticRegression(max_iter=500)),
    ):
        yield Brought(name, make_pipeline(vectorizer, model).fit(learnt, target), frame, fresh, is_of_texts=True)
