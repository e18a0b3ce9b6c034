"""`lightgbm`: a booster as LightGBM's own `save_model` writes it, in text."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ai_platform.runtimes.base.runtime import Format, Rows, Value
from ai_platform.runtimes.base.signature import Feature, FeatureType
from ai_platform.runtimes.boosters.booster import MISSING_EXTRA, Answer, Booster, BoosterRuntime

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


class LightgbmRuntime(BoosterRuntime):
    """Reads LightGBM's text.

    Columns of categories are read from the file when it was trained on a DataFrame; unknown categories are missing
    values, as they are to LightGBM.
    """

    format = Format(name="lightgbm", endings=(".txt",), releases_gil=True)
    distribution = "lightgbm"

    def _content(self, artifact: BinaryIO) -> str:
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

    def _booster(self, content: str) -> Booster:
        try:
            import lightgbm
        except ImportError:
            raise ValueError(f"LightGBM is not installed; {MISSING_EXTRA}") from None
        try:
            booster = lightgbm.Booster(model_str=content)
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise ValueError(f"LightGBM {lightgbm.__version__} cannot read it") from error
        head, _, _trees = content.partition("\nTree=")
        entries = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
        try:
            names, infos = entries["feature_names"].split(" "), entries["feature_infos"].split(" ")
            classes = max(2, int(entries.get("num_class", 1)))
        except (KeyError, ValueError):
            raise ValueError("the head of the LightGBM model lacks its features") from None
        answer = _ANSWERS.get(entries.get("objective", "").split(" ")[0], "number")
        categories = _categories(content, infos)
        named = not all(_COLUMN.fullmatch(name) for name in names)
        inputs = [
            _feature(name if named else f"x{number}", categories.get(number)) for number, name in enumerate(names)
        ]
        # LightGBM writes `_` for each blank of a name.
        respelt = named and any("_" in name for name in names)
        predictor = _Predictor(booster, categories)
        return Booster(inputs, named, booster.num_feature(), answer, classes, predictor, booster, respelt)


class _Predictor:
    """Predicts; each call makes a predictor of its own, and the library guards what they share with a lock of readers.

    Args:
        booster: the library's.
        categories: place of a feature to its categories, for those that a DataFrame held as categories.
    """

    def __init__(self, booster: "lightgbm.Booster", categories: dict[int, list[Category]]) -> None:
        self._booster = booster
        self._codes = {
            place: {category: float(code) for code, category in enumerate(known)} for place, known in categories.items()
        }

    def __call__(self, rows: Rows) -> Any:
        table = np.array([self._coded(row) for row in rows] if self._codes else rows, np.float64)
        return self._booster.predict(table, num_threads=1)

    def _coded(self, row: Sequence[Value]) -> list[Value]:
        coded = list(row)
        for place, codes in self._codes.items():
            value = coded[place]
            coded[place] = None if value is None else codes.get(value)
        return coded


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
