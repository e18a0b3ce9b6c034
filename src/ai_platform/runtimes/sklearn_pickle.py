"""`sklearn-pickle`: a fitted scikit-learn estimator as the pickle module writes it. The only module that unpickles."""

import pickle
import warnings
from typing import Any, BinaryIO

import numpy as np

from ai_platform.runtimes.runtime import Hints, LoadedModel, Outputs, Rows
from ai_platform.runtimes.signature import Signature


class SklearnPickleRuntime:
    """Unpickles bytes that the one loader has verified."""

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """A pickle may execute anything."""
        del artifact
        return ["pickle"]

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """From the hints."""
        del artifact
        if hints.inputs is None:
            raise ValueError("give --sample")
        return Signature(inputs=hints.inputs, classes=hints.classes)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Unpickle; a pickle of another scikit-learn version is refused, because its numbers may differ.

        Raises:
            sklearn.exceptions.InconsistentVersionWarning: written by another version.
            TypeError: the object does not predict.
        """
        del signature
        from sklearn.exceptions import InconsistentVersionWarning

        with warnings.catch_warnings():
            warnings.simplefilter("error", InconsistentVersionWarning)
            # The loader has checked hash and signature of these very bytes.
            estimator = pickle.Unpickler(artifact).load()  # noqa: S301
        if not callable(getattr(estimator, "predict", None)):
            raise TypeError(f"a {type(estimator).__name__} cannot predict")
        return SklearnModel(estimator)

    def libraries(self) -> dict[str, str]:
        """What a pickle needs."""
        import sklearn

        return {"scikit-learn": sklearn.__version__, "numpy": np.__version__}


class SklearnModel:
    """A fitted estimator or pipeline.

    Args:
        estimator: has `predict`, and `predict_proba` and `classes_` where it classifies with probabilities.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        classes = getattr(estimator, "classes_", None)
        self._classes: list[Any] | None = None if classes is None else classes.tolist()
        self._has_probabilities = hasattr(estimator, "predict_proba")

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows of numbers, shape (n, features); missing values arrive as NaN."""
        matrix = np.asarray(rows, dtype=np.float64)
        if self._classes is None:
            return Outputs(self._estimator.predict(matrix).tolist())
        if not self._has_probabilities:
            return self._with_numbers(self._estimator.predict(matrix).tolist(), None)
        probabilities = self._estimator.predict_proba(matrix)
        if not self._predicts_the_most_probable:
            return self._with_numbers(self._estimator.predict(matrix).tolist(), probabilities.tolist())
        numbers = probabilities.argmax(axis=1).tolist()
        return Outputs([self._classes[number] for number in numbers], numbers, probabilities.tolist())

    def _with_numbers(self, predictions: list[Any], probabilities: list[list[float]] | None) -> Outputs:
        assert self._classes is not None
        place = {name: number for number, name in enumerate(self._classes)}
        return Outputs(predictions, [place[prediction] for prediction in predictions], probabilities)

    @property
    def _predicts_the_most_probable(self) -> bool:
        # True of these families by their own `predict`; not of SVC, whose probabilities are calibrated apart.
        last = self._estimator[-1] if hasattr(self._estimator, "steps") else self._estimator
        return type(last).__name__ in _MOST_PROBABLE


_MOST_PROBABLE = frozenset({
    "LogisticRegression", "RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier", "GaussianNB",
    "HistGradientBoostingClassifier", "MLPClassifier",
})  # fmt: skip
