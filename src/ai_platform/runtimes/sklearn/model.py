"""A fitted scikit-learn estimator in service, however its file was written."""

import contextlib
import warnings
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import Outputs, Rows
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.sklearn.signature import class_values
from ai_platform.runtimes.sklearn.tables import forget_names, parts_of, table_for


class SklearnModel:
    """A fitted estimator or pipeline: anything with `predict`.

    A classifier also gives class numbers, and probabilities where it has them. With several outputs a row's prediction
    is a list with one value an output, and there are neither class numbers nor probabilities, because each output has
    classes of its own. A target of one column in two dimensions is one output. Missing values, None in the rows, reach
    the estimator as they were in training: NaN, or None where its encoders or imputers learnt None.

    Args:
        estimator: fitted; it is not changed.
        signature: its inputs.

    Raises:
        ValueError: the signature is not this estimator's.
    """

    def __init__(self, estimator: Any, signature: Signature) -> None:
        self._estimator = estimator
        self._table = table_for(estimator, signature)
        self._classes = class_values(estimator)
        self._places = {value: number for number, value in enumerate(self._classes or ())}
        self._has_probabilities = hasattr(estimator, "predict_proba")
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        self._most_probable = type(last).__name__ in _MOST_PROBABLE

    @property
    def estimator(self) -> Any:
        """The estimator itself, for what reads it and makes something else of it; not to be changed."""
        return self._estimator

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features)."""
        table = self._table(rows)
        if self._classes is None:
            return Outputs(_values(self._estimator.predict(table)))
        if not self._has_probabilities:
            return self._numbered(_values(self._estimator.predict(table)), None)
        probabilities = self._estimator.predict_proba(table)
        if not self._most_probable:
            return self._numbered(_values(self._estimator.predict(table)), probabilities.tolist())
        numbers = probabilities.argmax(axis=1).tolist()
        return Outputs([self._classes[number] for number in numbers], numbers, probabilities.tolist())

    def _numbered(self, predictions: list[Any], probabilities: list[list[float]] | None) -> Outputs:
        return Outputs(predictions, [self._places[prediction] for prediction in predictions], probabilities)


# True of these families by their own `predict`; not of SVC, whose probabilities are calibrated apart.
_MOST_PROBABLE = frozenset({
    "LogisticRegression", "RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier", "GaussianNB",
    "HistGradientBoostingClassifier",
})  # fmt: skip


def checked(estimator: Any) -> Any:
    """An object that was read from a file, if it is a fitted estimator that predicts.

    Raises:
        ValueError: it is not.
    """
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind = type(estimator).__name__
    if isinstance(estimator, type) or not callable(getattr(estimator, "predict", None)):
        raise ValueError(f"a {kind} cannot predict; publish a fitted estimator or pipeline that has `predict`")  # noqa: TRY004  # of the file, not of an argument
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise ValueError(f"this {kind} is not fitted; publish it after `fit`") from None
    except TypeError:
        raise ValueError(f"a {kind} is no scikit-learn estimator") from None
    return estimator


def as_served(estimator: Any, signature: Signature) -> SklearnModel:
    """Prepare an estimator that was just read, and that nobody else holds.

    A search is replaced by the best it found; nothing starts threads or processes of its own, because the platform has
    as many as there are cores; and names are forgotten where arrays do.

    Raises:
        ValueError: the signature is not this estimator's.
    """
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    for part in parts_of(estimator):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = None
    forget_names(estimator, signature)
    return SklearnModel(estimator, signature)


@contextlib.contextmanager
def of_this_version() -> Iterator[None]:
    """Refuse what another version of scikit-learn wrote, because its numbers may differ.

    Raises:
        ValueError: it names both versions.
    """
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            yield
        except InconsistentVersionWarning as found:
            raise ValueError(
                f"it was written by scikit-learn {found.original_sklearn_version}, and this platform has"
                f" {found.current_sklearn_version}; train it again with that version"
            ) from None


def library_versions(*names: str) -> dict[str, str]:
    """Name to installed version, read without importing any of them."""
    return {name: metadata.version(name) for name in names}


def _values(answered: Any) -> list[Any]:
    # Labels that were learnt from a sparse matrix come back as one.
    predicted = np.asarray(answered.toarray() if hasattr(answered, "toarray") else answered)
    if predicted.ndim == 2 and predicted.shape[1] == 1:  # noqa: PLR2004  # a target given as one column
        predicted = predicted[:, 0]
    if predicted.dtype == object:
        return [_plain(value) for value in predicted.tolist()]
    values: list[Any] = predicted.tolist()
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value
