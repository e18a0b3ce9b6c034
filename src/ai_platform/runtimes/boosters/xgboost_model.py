"""`xgboost`: a booster as XGBoost's own `save_model` writes it, in JSON or UBJSON."""

import json
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ai_platform.runtimes.base.completing import classifier, completed_inputs, numbered, regressor
from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel, Outputs, Rows
from ai_platform.runtimes.base.signature import Feature, FeatureType, Signature
from ai_platform.runtimes.boosters.ranges import MISSING_EXTRA, Answer, BoosterOutputs, check_inputs

if TYPE_CHECKING:
    import xgboost

_ANSWERS: dict[str, Answer] = {
    "binary:logistic": "probability", "multi:softprob": "probabilities", "multi:softmax": "label",
    "binary:hinge": "label",
}  # fmt: skip
# Whole numbers in training are no demand: the trees compare with any number.
_TYPES: dict[str, FeatureType] = {"i": "boolean"}
_EDGES = 64  # bytes at either end in which a file's kind shows


class XgboostRuntime:
    """Loads boosters of the native interface and of the scikit-learn wrapper alike.

    XGBoost demands whole numbers from 0 as labels, in both interfaces, and no file of its own holds any other. So
    without `--classes` the classes are 0, 1 and so on, which is also what the library predicts; with it, they are
    named and the predictions are still those numbers. A ranker's score is a number like a regressor's.

    XGBoost can crash on a file that was made to crash it. What is published was loaded in the sandbox before, so
    that no process that serves is the first to try.
    """

    format = Format(name="xgboost", endings=(".json", ".ubj"), releases_gil=True, computes_in_float32=True)

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """None: trees are data.

        Raises:
            ValueError: it is not of this format.
        """
        _content(artifact)
        return []

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """Names from the file when it was trained on a DataFrame, else from the sample; classes by their number.

        Raises:
            ValueError: as `Runtime.read_signature`.
        """
        booster = _booster(artifact)
        facts = _facts(booster)
        named = booster.feature_names is not None
        known = [
            Feature(name=name, type=_TYPES.get(kind, "number"))
            for name, kind in zip(
                booster.feature_names or [one.name for one in numbered(facts.inputs)],
                booster.feature_types or ["float"] * facts.inputs,
                strict=True,
            )
        ]
        inputs = completed_inputs(known, hints, named=named, missing=True)
        if facts.answer == "number":
            return regressor(inputs, hints)
        return classifier(inputs, range(facts.classes), hints)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Make a booster of it.

        Raises:
            ValueError: it is not of this format, has categorical features, answers several labels a row, or has other
                inputs or classes than the signature; or XGBoost is not installed.
        """
        return XgboostModel(_booster(artifact), signature)

    def libraries(self) -> dict[str, str]:
        """What reads it."""
        return {"xgboost": metadata.version("xgboost-cpu")}


class XgboostModel:
    """A booster in service, one thread a call.

    Any number of threads may predict at once without a lock: `inplace_predict` is documented to be safe where nothing
    else is called on the booster, and nothing else is after the first prediction, which is made here.

    Args:
        booster: from `_booster`.
        signature: inputs and classes.

    Raises:
        ValueError: the booster has others.
    """

    def __init__(self, booster: "xgboost.Booster", signature: Signature) -> None:
        facts = _facts(booster)
        check_inputs(signature, facts.inputs)
        self._outputs = BoosterOutputs(facts.answer, facts.classes, signature)
        self._trees = facts.trees
        # Names are compared at each call where there are any, and an array has none.
        booster.feature_names = None
        booster.feature_types = None
        self._booster = booster
        self.predict([[0.0] * facts.inputs])

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features); None is a missing value."""
        table = np.array(rows, np.float32)
        return self._outputs.of(self._booster.inplace_predict(table, iteration_range=self._trees))


@dataclass(frozen=True, slots=True)
class _Facts:
    inputs: int
    answer: Answer
    classes: int
    trees: tuple[int, int]


def _content(artifact: BinaryIO) -> bytes:
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


def _booster(artifact: BinaryIO) -> "xgboost.Booster":
    content = _content(artifact)
    try:
        import xgboost
    except ImportError:
        raise ValueError(f"XGBoost is not installed; {MISSING_EXTRA}") from None
    try:
        booster = xgboost.Booster({"nthread": 1, "verbosity": 0}, model_file=bytearray(content))
        booster.set_param({"nthread": 1})
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ValueError(f"XGBoost {xgboost.__version__} cannot read it") from error
    return booster


def _facts(booster: "xgboost.Booster") -> _Facts:
    if any(kind in {"c", "categorical"} for kind in booster.feature_types or ()):
        raise ValueError(
            "the booster has categorical features, whose categories this platform does not read; encode them before"
            " training, or publish the whole pipeline"
        )
    learner: dict[str, Any] = json.loads(booster.save_config())["learner"]
    parameters = learner["learner_model_param"]
    answer = _ANSWERS.get(learner["objective"]["name"], "number")
    if answer != "number" and int(parameters.get("num_target", 1)) > 1:
        raise ValueError("the booster answers with several labels a row; publish one booster a label")
    classes = max(2, int(parameters["num_class"]))
    return _Facts(booster.num_features(), answer, classes, (0, _best(booster)))


def _best(booster: "xgboost.Booster") -> int:
    """Where the trees end that the library itself would use; 0 for all.

    The wrapper of scikit-learn stops at the best round of early stopping. The native interface uses all, and so does
    its `inplace_predict`.
    """
    attributes = booster.attributes()
    best = attributes.get("best_iteration")
    return int(best) + 1 if best is not None and "scikit_learn" in attributes else 0
