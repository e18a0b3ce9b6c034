"""`lightgbm`: a booster as LightGBM's own `save_model` writes it, in text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ai_platform.runtimes.base.completing import classifier, completed_inputs, regressor
from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel, Outputs, Rows, Value
from ai_platform.runtimes.base.signature import Feature, FeatureType, Signature
from ai_platform.runtimes.boosters.ranges import MISSING_EXTRA, Answer, BoosterOutputs, check_inputs

if TYPE_CHECKING:
    import lightgbm

_ANSWERS: dict[str, Answer] = {
    "binary": "probability", "multiclass": "probabilities", "multiclassova": "probabilities",
}  # fmt: skip
# Names that LightGBM gives to the columns of an array.
_COLUMN = re.compile(r"Column_(\d+)")
_CATEGORICAL_INFO = re.compile(r"-?\d+(:-?\d+)*")
_MOST_SHOWN = 100

Category = int | float | str | bool


class LightgbmRuntime:
    """Loads boosters of the native interface and of the scikit-learn wrapper alike.

    The file holds no labels: `LGBMClassifier` keeps them outside its booster. So without `--classes` the classes are
    0, 1 and so on, in the order of the sorted labels; with it, they are named, and the predictions are still those
    numbers. Columns of categories are read from the file when it was trained on a DataFrame; unknown categories are
    missing values, as they are to LightGBM. A ranker's score is a number like a regressor's.

    LightGBM can crash on a file whose trees were damaged. What is published was loaded in the sandbox before.
    """

    format = Format(name="lightgbm", endings=(".txt",), releases_gil=True)

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """None: trees are data.

        Raises:
            ValueError: it is not of this format.
        """
        _text(artifact)
        return []

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """Names from the file when it was trained on a DataFrame, else from the sample; classes by their number.

        Raises:
            ValueError: as `Runtime.read_signature`.
        """
        text = _text(artifact)
        facts = _facts(text)
        _booster(text)  # a file that its library refuses has no signature
        named = not all(_COLUMN.fullmatch(name) for name in facts.names)
        known = [
            _feature(name if named else f"x{number}", facts.categories.get(number))
            for number, name in enumerate(facts.names)
        ]
        inputs = completed_inputs(known, hints, named=named, missing=True)
        # LightGBM writes `_` for each blank of a name.
        respelt = named and any("_" in name for name in facts.names)
        if facts.answer == "number":
            return regressor(inputs, hints, respelt=respelt)
        return classifier(inputs, range(facts.classes), hints, respelt=respelt)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Make a booster of it.

        Raises:
            ValueError: it is not of this format, or has other inputs or classes than the signature; or LightGBM is not
                installed.
        """
        text = _text(artifact)
        return LightgbmModel(_booster(text), _facts(text), signature)

    def libraries(self) -> dict[str, str]:
        """What reads it."""
        return {"lightgbm": metadata.version("lightgbm")}


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in the file besides trees.

    Attributes:
        names: of the features.
        answer: what it predicts of a row.
        classes: how many; 2 where it is not said.
        categories: place of a feature to its categories, for those that a DataFrame held as categories.
    """

    names: list[str]
    answer: Answer
    classes: int
    categories: dict[int, list[Category]]


class LightgbmModel:
    """A booster in service, one thread a call.

    Any number of threads may predict at once: each call makes a predictor of its own, and the library guards what they
    share with a lock of readers.

    Args:
        booster: the library's.
        facts: of the same file.
        signature: inputs and classes.

    Raises:
        ValueError: the booster has others.
    """

    def __init__(self, booster: "lightgbm.Booster", facts: Facts, signature: Signature) -> None:
        check_inputs(signature, booster.num_feature())
        self._outputs = BoosterOutputs(facts.answer, facts.classes, signature)
        self._booster = booster
        self._codes = {
            place: {category: float(code) for code, category in enumerate(categories)}
            for place, categories in facts.categories.items()
        }

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features); None is a missing value."""
        table = np.array([self._coded(row) for row in rows] if self._codes else rows, np.float64)
        return self._outputs.of(self._booster.predict(table, num_threads=1))

    def _coded(self, row: Sequence[Value]) -> list[Value]:
        coded = list(row)
        for place, codes in self._codes.items():
            value = coded[place]
            coded[place] = None if value is None else codes.get(value)
        return coded


def _text(artifact: BinaryIO) -> str:
    head = artifact.read(5)
    artifact.seek(0)
    if head != b"tree\n":
        raise ValueError("it is not a LightGBM model in text")
    try:
        text = artifact.read().decode()
    except UnicodeDecodeError:
        raise ValueError("it is not a LightGBM model in text") from None
    artifact.seek(0)
    # The library reads past the end of a file that lacks its parameters.
    if "\nend of trees\n" not in text or "\nend of parameters\n" not in text:
        raise ValueError("the LightGBM model is cut short")
    return text


def _booster(text: str) -> "lightgbm.Booster":
    try:
        import lightgbm
    except ImportError:
        raise ValueError(f"LightGBM is not installed; {MISSING_EXTRA}") from None
    try:
        return lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise ValueError(f"LightGBM {lightgbm.__version__} cannot read it") from error


def _facts(text: str) -> Facts:
    head, _, _trees = text.partition("\nTree=")
    entries = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    try:
        names, infos = entries["feature_names"].split(" "), entries["feature_infos"].split(" ")
        classes = max(2, int(entries.get("num_class", 1)))
    except (KeyError, ValueError):
        raise ValueError("the head of the LightGBM model lacks its features") from None
    objective = entries.get("objective", "").split(" ")[0]
    return Facts(names, _ANSWERS.get(objective, "number"), classes, _categories(text, infos))


def _categories(text: str, infos: list[str]) -> dict[int, list[Category]]:
    written = text.rpartition("\nend of parameters\n")[2].strip()
    try:
        # The command-line program writes no such line.
        categories = msgspec.json.decode(written.removeprefix("pandas_categorical:") or "null") or []
    except msgspec.DecodeError:
        raise ValueError("the LightGBM model is cut short") from None
    if not categories:
        return {}
    listed = re.search(r"^\[categorical_feature: ([\d,]+)\]$", text, re.MULTILINE)
    if listed is not None:
        places = [int(place) for place in listed[1].split(",")]
    else:
        places = [place for place, info in enumerate(infos) if _CATEGORICAL_INFO.fullmatch(info)]
    if len(places) != len(categories):
        raise ValueError("the LightGBM model does not say which of its features the categories belong to")
    return dict(zip(places, categories, strict=True))


def _feature(name: str, categories: list[Any] | None) -> Feature:
    if categories is None:
        return Feature(name=name)
    kinds = {type(category) for category in categories}
    kind: FeatureType = "string"
    if kinds == {bool}:
        kind = "boolean"
    elif kinds == {int}:
        kind = "integer"
    elif kinds <= {int, float}:
        kind = "number"
    elif kinds != {str}:
        raise ValueError(f"the categories of {name!r} are of several types; make them strings before training")
    shown = tuple(categories) if 0 < len(categories) <= _MOST_SHOWN else None
    return Feature(name=name, type=kind, categories=shown, example=categories[0] if categories else None)
