"""`xgboost`: a booster as XGBoost's own `save_model` writes it, in JSON or UBJSON."""

import json
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ai_platform.runtimes.base.completing import numbered
from ai_platform.runtimes.base.runtime import Format, Rows
from ai_platform.runtimes.base.signature import Feature, FeatureType
from ai_platform.runtimes.boosters.booster import MISSING_EXTRA, Answer, Booster, BoosterRuntime

if TYPE_CHECKING:
    import xgboost

_ANSWERS: dict[str, Answer] = {
    "binary:logistic": "probability", "multi:softprob": "probabilities", "multi:softmax": "label",
    "binary:hinge": "label",
}  # fmt: skip
# Whole numbers in training are no demand: the trees compare with any number.
_TYPES: dict[str, FeatureType] = {"i": "boolean"}
_EDGES = 64  # bytes at either end in which a file's kind shows


class XgboostRuntime(BoosterRuntime):
    """Reads XGBoost's JSON and UBJSON."""

    format = Format(name="xgboost", endings=(".json", ".ubj"), releases_gil=True, computes_in_float32=True)
    distribution = "xgboost-cpu"

    def _content(self, artifact: BinaryIO) -> bytes:
        content = artifact.read()
        artifact.seek(0)
        head, tail = content[:_EDGES].lstrip(), content[-_EDGES:].rstrip()
        if not head.startswith(b"{") or not tail.endswith(b"}") or b"learner" not in head:
            raise ValueError("it is not an XGBoost model in JSON or UBJSON, or it is cut short")
        if head[1:2] in {b'"', b"\n", b" "}:
            try:
                msgspec.json.decode(content, type=msgspec.Raw)
            except msgspec.DecodeError:
                raise ValueError("it is not an XGBoost model in JSON, or it is damaged") from None
        return content

    def _booster(self, content: bytes) -> Booster:
        try:
            import xgboost
        except ImportError:
            raise ValueError(f"XGBoost is not installed; {MISSING_EXTRA}") from None
        try:
            booster = xgboost.Booster({"nthread": 1, "verbosity": 0}, model_file=bytearray(content))
            booster.set_param({"nthread": 1})
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise ValueError(f"XGBoost {xgboost.__version__} cannot read it") from error
        count, names, types = booster.num_features(), booster.feature_names, booster.feature_types
        if any(kind in {"c", "categorical"} for kind in types or ()):
            raise ValueError(
                "the booster has categorical features, whose categories this platform does not read; encode them before"
                " training, or publish the whole pipeline"
            )
        learner: dict[str, Any] = json.loads(booster.save_config())["learner"]
        parameters = learner["learner_model_param"]
        answer = _ANSWERS.get(learner["objective"]["name"], "number")
        if answer != "number" and int(parameters.get("num_target", 1)) > 1:
            raise ValueError("the booster answers with several labels a row; publish one booster a label")
        known = zip(names or [one.name for one in numbered(count)], types or ["float"] * count, strict=True)
        inputs = [Feature(name=name, type=_TYPES.get(kind, "number")) for name, kind in known]
        classes = max(2, int(parameters["num_class"]))
        return Booster(inputs, names is not None, count, answer, classes, _Predictor(booster, count), booster)


class _Predictor:
    """Predicts without a lock.

    `inplace_predict` is documented to be safe where nothing else is called on the booster, and nothing else is after
    the first prediction, which is made here.
    """

    def __init__(self, booster: "xgboost.Booster", count: int) -> None:
        self._trees = (0, _best(booster))
        # Names are compared at each call where there are any, and an array has none.
        booster.feature_names = None
        booster.feature_types = None
        self._booster = booster
        self([[0.0] * count])

    def __call__(self, rows: Rows) -> Any:
        return self._booster.inplace_predict(np.array(rows, np.float32), iteration_range=self._trees)


def _best(booster: "xgboost.Booster") -> int:
    """Where the trees end that the library itself would use; 0 for all.

    The wrapper of scikit-learn stops at the best round of early stopping. The native interface uses all, and so does
    its `inplace_predict`.
    """
    attributes = booster.attributes()
    best = attributes.get("best_iteration")
    return int(best) + 1 if best is not None and "scikit_learn" in attributes else 0
