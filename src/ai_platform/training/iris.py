"""The example of the quickstart: logistic regression on scikit-learn's iris."""

from dataclasses import dataclass
from typing import Any

from ai_platform.runtimes.base.signature import Feature, Signature

EXAMPLE = (5.1, 3.5, 1.4, 0.2)
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted estimator with what its manifest says of it.

    Attributes:
        name: the model's name.
        estimator: fitted, with `predict`.
        signature: its inputs and outputs.
        metrics: name to value, fractions of 1.
        sample: some rows for the golden outputs, shape (n, features).
    """

    name: str
    estimator: Any
    signature: Signature
    metrics: dict[str, float]
    sample: list[list[float]]


def train() -> Trained:
    """Fit on four fifths, score on the rest and by five-fold cross-validation; the same result each time."""
    # Here, because `models publish` looks at files that were written, and saves the second that this takes.
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    iris = load_iris()
    train_x, test_x, train_y, test_y = train_test_split(
        iris.data, iris.target, test_size=0.2, random_state=42, stratify=iris.target
    )
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = cross_val_score(estimator, iris.data, iris.target, cv=FOLDS)
    estimator.fit(train_x, train_y)
    metrics = {
        "cv_accuracy": float(folds.mean()),
        "cv_accuracy_std": float(folds.std()),
        "test_accuracy": float(estimator.score(test_x, test_y)),
    }
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in iris.feature_names]
    inputs = tuple(
        Feature(name=name, minimum=float(column.min()), maximum=float(column.max()), example=example)
        for name, column, example in zip(names, iris.data.T, EXAMPLE, strict=True)
    )
    classes = tuple(str(name) for name in iris.target_names)
    values = tuple(int(value) for value in estimator.classes_)
    sample = [list(EXAMPLE), *test_x[:9].tolist()]
    return Trained("iris", estimator, Signature(inputs=inputs, classes=classes, class_values=values), metrics, sample)
