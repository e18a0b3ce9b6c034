"""A cell of a text file as the value that an input takes: typed by the input, never by what the cell looks like."""

import math
import re

from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature

MISSING_WORDS = frozenset({
    "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none",
})  # fmt: skip
"""What pandas, R and databases write for a missing number, in small letters. To strings these are words."""

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def typed(cell: str, feature: Feature, decimal: str = ".") -> Value:
    """The value of a cell; None where it is missing, which is when it is empty or, of no string, such a word.

    Args:
        cell: text.
        feature: the input.
        decimal: what stands between the whole and the rest in a number.

    Raises:
        ValueError: it is none of this input's; half a sentence without the cell.
    """
    if cell == "":
        return None
    if feature.type == "string":
        return _text(cell, feature)
    word = cell.strip()
    if not word or word.lower() in MISSING_WORDS:
        return None
    if feature.type == "boolean":
        return _truth(word)
    return _number(word, feature, decimal)


def _text(cell: str, feature: Feature) -> str | None:
    """A string as the model knows it, where its categories are known."""
    known = feature.categories
    if not known or cell in known:
        return cell
    if cell.strip() in known:
        return cell.strip()
    return None if feature.nullable and cell.strip().lower() in MISSING_WORDS else cell


def _truth(word: str) -> bool:
    found = _TRUTH.get(word.lower())
    if found is None:
        raise ValueError("must be true or false, or 1 or 0")
    return found


def _number(word: str, feature: Feature, decimal: str) -> float:
    if feature.binary and word.lower() in {"true", "false"}:
        return int(_truth(word))
    written = word if decimal == "." else word.replace(".", " ").replace(decimal, ".")
    if not NUMBER.fullmatch(written):
        raise ValueError(f"must be {'an integer' if feature.type == 'integer' else 'a number'}")
    if written.lstrip("+-").isdecimal() and feature.type == "integer":
        return int(written)
    number = float(written)
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    if feature.type != "integer":
        return number
    if not number.is_integer():
        raise ValueError("must be an integer")
    return int(number)
