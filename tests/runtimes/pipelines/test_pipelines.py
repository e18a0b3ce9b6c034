"""Random pipelines, published with and without a sample, answer as the library does; `make fuzz-pipelines`."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from ai_platform.runtimes.compiler.fitted_columns import inputs
from ai_platform.runtimes.compiler.fitted_knowledge import knowledge_of
from runtimes.pipelines.comparison import compare
from runtimes.pipelines.generator import Trained, trained
from runtimes.pipelines.people import bought, people, sentences

ROWS = 2_000
# Those of a tied vote, trees and boosting behind scalers, a mixture of columns, and missing values found otherwise
# before probe rows came from the estimator; votes that are a tie but for rounding (9395), a difference just within the
# bound on the probe rows (11433), leaves that a stack adds up (20683), sums of
# a discriminant in float32 (21760); and some at random.
SEEDS = (9395, 11433, 20683, 21760, 2, 38, 41, 81, 87, 91, 104, 1001, 1051, 3, 4, 5)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about what random data do to a fit
        yield


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_pipeline_answers_as_the_library_does(seed: int, *, sampled: bool) -> None:
    model = trained(seed)
    assert compare(model, seed, ROWS, sampled=sampled).faults == [], model.name


@pytest.mark.parametrize("sampled", [False, True])
def test_a_tuned_threshold_decides(*, sampled: bool) -> None:
    frame = people(np.random.default_rng(0), 1_000)
    tuned = TunedThresholdClassifierCV(LogisticRegression(), cv=2)
    estimator = make_pipeline(StandardScaler(), tuned).fit(frame, bought(frame))
    assert compare(Trained("tuned", estimator, frame, lambda one: one, people), 0, ROWS, sampled=sampled).faults == []


@pytest.mark.parametrize("sampled", [False, True])
def test_equally_near_neighbours_are_the_librarys(*, sampled: bool) -> None:
    frame = people(np.random.default_rng(0), 400).round(-3)
    estimator = make_pipeline(MinMaxScaler(), KNeighborsClassifier(4)).fit(frame, bought(frame))
    near = Trained("near", estimator, frame, lambda one: one, lambda chance, count: people(chance, count).round(-3))
    assert compare(near, 0, ROWS, sampled=sampled).faults == []


@pytest.mark.parametrize("sampled", [False, True])
def test_words_are_the_librarys_without_lower_case(*, sampled: bool) -> None:
    frame = sentences(np.random.default_rng(0), 200)
    liked = frame["text"].str.contains("good")
    estimator = make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression()).fit(frame["text"], liked)
    words = Trained("words", estimator, frame, lambda one: one["text"].tolist(), sentences)
    assert compare(words, 0, ROWS, sampled=sampled).faults == []


def test_trees_that_ask_for_missing_values_are_converted_in_time() -> None:
    frame = people(np.random.default_rng(0), 300)
    frame.loc[::3, "income"] = np.nan
    estimator = BaggingClassifier(n_estimators=3, random_state=0).fit(frame, frame["income"].isna())
    assert compare(Trained("gaps", estimator, frame, lambda one: one, people), 0, ROWS, sampled=True).faults == []


def test_a_threshold_behind_a_scaler_is_known_as_an_input() -> None:
    frame = people(np.random.default_rng(0), 500)
    estimator = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=1)).fit(frame, frame["income"] > 60e3)
    known = knowledge_of(estimator, inputs(2), 2)
    assert np.abs(np.array(known.edges[0]) - 60e3).min() < 200
    assert min(known.values[0]) < 52e3 - 3 * 9e3
    assert known.leaves == 2
