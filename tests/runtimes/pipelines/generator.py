"""Random pipelines, fitted on random data: one for each seed."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline

from runtimes.pipelines import data, parts

Chance = np.random.Generator


@dataclass(frozen=True)
class Trained:
    """A fitted model.

    Attributes:
        name: its parts.
        estimator: fitted.
        frame: what it was fitted on, without the target.
        takes: what makes its own argument of a frame.
        fresh: makes new rows of the same kind.
    """

    name: str
    estimator: Any
    frame: pd.DataFrame
    takes: Callable[[pd.DataFrame], Any]
    fresh: Callable[[Chance, int], pd.DataFrame]


def trained(seed: int) -> Trained:
    """The pipeline of a seed; where random parts cannot be fitted together, the next that can."""
    chance = np.random.default_rng(seed)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _text(chance) if chance.random() < 0.08 else _table(chance)
        except (ValueError, TypeError, FloatingPointError):  # scikit-learn refuses the combination
            continue


def _table(chance: Chance) -> Trained:
    classifies = bool(chance.random() < 0.65)
    name, make = parts.choice(chance, list((parts.CLASSIFIERS if classifies else parts.REGRESSORS).items()))
    has_kinds, has_missing = bool(chance.random() < 0.4), bool(chance.random() < 0.35)
    table = data.table(chance, kinds=has_kinds, missing=has_missing)
    names: list[str] = []
    steps: list[Any] = []
    if has_missing and (name not in parts.LENIENT or chance.random() < 0.5):
        names.append(_add(chance, parts.IMPUTERS, steps))
    if chance.random() < 0.7:
        names.append(_add(chance, parts.SCALERS, steps))
    if chance.random() < 0.35 and (steps or not has_missing):
        names.append(_add(chance, parts.EXPANSIONS, steps))
    if has_kinds:
        encoders: list[Any] = []
        names.append(_add(chance, parts.ENCODERS, encoders))
        numbers = make_pipeline(*steps) if steps else "passthrough"
        steps = [ColumnTransformer([("numbers", numbers, table.numbers), ("kinds", encoders[0], table.kinds)])]
    estimator = make_pipeline(*steps, make(chance)) if steps else make(chance)
    by_name = has_kinds or bool(chance.random() < 0.6)

    def takes(frame: pd.DataFrame) -> Any:
        return frame if by_name else frame.to_numpy(float)

    target = _target(
        chance, data.signal(chance, table.frame), classifies=classifies, two=name == "MultiOutputRegressor"
    )
    estimator.fit(takes(table.frame), target)
    return Trained(" > ".join([*names, name]), estimator, table.frame, takes, table.fresh)


def _add(chance: Chance, known: dict[str, parts.Make], steps: list[Any]) -> str:
    name, make = parts.choice(chance, list(known.items()))
    steps.append(make(chance))
    return str(name)


def _target(chance: Chance, signal: Any, *, classifies: bool, two: bool) -> Any:
    if two:
        return np.c_[signal, -2 * signal]
    if not classifies:
        return signal * float(parts.choice(chance, [1, 1e5, 1e-3]))
    shares = parts.choice(chance, [[0.5], [0.85], [0.3, 0.6], [0.2, 0.4, 0.6, 0.8]])
    numbers = np.searchsorted(np.quantile(signal, shares), signal)
    labels = parts.choice(chance, [list(range(5)), ["no", "yes", "perhaps", "never", "später"], [3, 7, -1, 20, 5]])
    if len(shares) == 1 and chance.random() < 0.3:
        labels = [False, True]
    return np.array(labels)[numbers]


def _text(chance: Chance) -> Trained:
    name, make = parts.choice(chance, list(parts.VECTORIZERS.items()))
    last = str(parts.choice(chance, parts.TEXT_CLASSIFIERS))
    texts = data.texts(chance, 300)
    target = np.array([("good" in text.lower()) + ("bad" in text.lower()) for text in texts])
    estimator = make_pipeline(make(chance), parts.CLASSIFIERS[last](chance)).fit(texts, target)

    def fresh(chance: Chance, count: int) -> pd.DataFrame:
        return pd.DataFrame({"text": pd.Series(data.texts(chance, count), dtype=object)})

    return Trained(
        f"{name} > {last}", estimator, pd.DataFrame({"text": pd.Series(texts, dtype=object)}),
        lambda frame: frame["text"].tolist(), fresh,
    )  # fmt: skip
