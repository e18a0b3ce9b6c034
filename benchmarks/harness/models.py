"""The models that are measured: fitted here, and published as a user would."""

import json
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ai_platform.models.loading.signing import signer
from ai_platform.models.publishing import Publisher
from ai_platform.models.registry.manifest import Draft
from ai_platform.settings import Settings
from ai_platform.training.publish import publish
from benchmarks.load.plan import NUMBERED, Call
from harness import SAMPLE

# One instance of iris, and the request for it; iris is the model that has no name in the path.
BODY = json.dumps(SAMPLE)
IRIS = Call("iris", "/predict/", BODY)
ROWS, COLUMNS = 2_000, 10
SLOW_SECONDS = 0.020
_SLOW_SOURCE = '''
class Model:
    """Burns {milliseconds:g} ms of one core for each row, in Python, and never sleeps."""

    inputs = {{"x": "number"}}

    def predict(self, rows):
        return [self.burn(x) for (x,) in rows]

    def burn(self, x):
        for step in range({steps}):
            x = x * 0.999 + step
        return x
'''


@dataclass(frozen=True, slots=True)
class Model:
    """A model with rows for it.

    Attributes:
        name: under which it is published.
        what: for the report.
        rows: JSON rows by position, some hundreds of them.
        estimator: fitted; None for the slow one, which is source.
        sample: some of what it was fitted to.
    """

    name: str
    what: str
    rows: list[list[Any]]
    estimator: Any = None
    sample: pd.DataFrame | None = None

    def body(self, rows: int) -> str:
        """A request's body: one instance as `features`, more as `instances`; the slow one has one instance always."""
        if self.estimator is None:
            # Answers of a costly model are cached; no two of these requests are equal.
            return f'{{"features": [1.{NUMBERED}]}}'
        if rows == 1:
            return json.dumps({"features": self.rows[0]})
        return json.dumps({"instances": [self.rows[number % len(self.rows)] for number in range(rows)]})

    @property
    def path(self) -> str:
        return IRIS.path if self.name == IRIS.name else f"/models/{self.name}/predict"

    def call(self, rows: int = 1, name: str = "", weight: float = 1.0) -> Call:
        """Requests for it, counted under its own name or another."""
        return Call(name or self.name, self.path, self.body(rows), weight=weight)

    def publish(self, settings: Settings, folder: Path) -> str:
        """Validate, sign and record it, and give the form in which it will serve.

        Raises:
            ArtifactRefused: it was refused.
        """
        if self.estimator is not None:
            return publish(self.estimator, self.name, sample=self.sample, settings=settings).report.form
        source = folder / f"{self.name}.py"
        text = _SLOW_SOURCE.format(steps=steps_for(SLOW_SECONDS), milliseconds=SLOW_SECONDS * 1000)
        source.write_text(text, encoding="utf-8")
        keys = signer(settings.signing_key_file, settings.trusted_keys_dir)
        draft = Draft(model=self.name, format="python")
        return Publisher.of(settings).publish(source, draft, by="benchmark", signer=keys).report.form

    def pickle(self, folder: Path) -> Path:
        """The bare estimator, for the naive design."""
        path = folder / f"naive-{self.name}.pkl"
        path.write_bytes(pickle.dumps(self.estimator))
        return path


def steps_for(seconds: float) -> int:
    """How many steps of the slow model's loop cost so much processor time on this machine now: the best of seven."""
    steps = 100_000
    best = min(_burned(steps) for _ in range(7))
    return round(steps * seconds / best)


def _burned(steps: int) -> float:
    x, begun = 1.0, time.thread_time()
    for step in range(steps):
        x = x * 0.999 + step
    return time.thread_time() - begun


def fitted(name: str, what: str, estimator: Any, frame: pd.DataFrame, rows: int = 300) -> Model:
    """A model with the first rows of what it was fitted to."""
    sample = frame.head(rows)
    values = sample.astype(object).where(sample.notna(), None).to_numpy().tolist()
    return Model(name, what, values, estimator, sample)


def iris() -> Model:
    data = load_iris()
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data.data, data.target)
    rows = [SAMPLE["features"], *data.data.tolist()]
    return Model(
        "iris", "logistic regression on iris (4 numbers)", rows, estimator, pd.DataFrame(data.data, columns=columns)
    )


def _made() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    values, target = make_classification(ROWS, COLUMNS, n_informative=6, n_classes=3, random_state=7)
    return pd.DataFrame(values.round(4), columns=[f"x{number}" for number in range(COLUMNS)]), target


def forest() -> Model:
    frame, target = _made()
    estimator = RandomForestClassifier(100, random_state=7).fit(frame.to_numpy(), target)
    what = f"random forest of 100 trees grown to the end ({COLUMNS} numbers, {ROWS:,} rows, 3 classes)"
    return fitted("forest", what, estimator, frame)


def boosting() -> Model:
    frame, target = _made()
    estimator = GradientBoostingClassifier(n_estimators=100, random_state=7).fit(frame.to_numpy(), target)
    return fitted("boosting", f"gradient boosting, 100 stages ({COLUMNS} numbers, 3 classes)", estimator, frame)


def mixed(numbers: pd.DataFrame, random: np.random.Generator, texts: dict[str, list[str]]) -> tuple[pd.DataFrame, Any]:
    """These numbers, of which `x1` gets gaps, beside texts that are drawn; and a pipeline for them, not fitted yet."""
    frame = numbers.assign(**{name: random.choice(values, len(numbers)) for name, values in texts.items()})
    frame.loc[::13, "x1"] = np.nan
    filled = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer((filled, list(numbers)), (OneHotEncoder(handle_unknown="ignore"), list(texts)))
    return frame, make_pipeline(columns, LogisticRegression(max_iter=500))


def pipeline() -> Model:
    numbers, target = _made()
    texts = {"plan": ["basic", "plus", "family"], "country": ["NO", "SE", "DK", "IS"]}
    frame, estimator = mixed(numbers[["x0", "x1", "x2", "x3"]], np.random.default_rng(7), texts)
    return fitted("pipeline", "pipeline of 4 numbers with gaps and 2 texts", estimator.fit(frame, target), frame)


def slow() -> Model:
    what = f"Python source that burns {SLOW_SECONDS * 1000:g} ms of a core for each row"
    return Model("slow", what, [[1.5]])


MODELS: dict[str, Callable[[], Model]] = {
    "iris": iris, "forest": forest, "boosting": boosting, "pipeline": pipeline, "slow": slow,
}  # fmt: skip
