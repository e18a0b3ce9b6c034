"""Texts as counts of words or of groups of characters, exactly as scikit-learn's vectorizers cut them.

The steps are those of `sklearn.feature_extraction.text`: lower case, accents, tokens, stop words, n-grams. They are
written again here so that a compiled model of texts needs no scikit-learn where it serves.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import numpy as np

TOKEN_PATTERNS = frozenset({
    r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\b\w\w+\b", r"\b\w+\b", r"\w+", r"\S+", r"\w\w+", r"[a-zA-Z]+", r"[A-Za-z]+",
    r"[a-z]+", r"[^\s]+", r"\b[a-zA-Z]+\b", r"(?u)\b[a-zA-Z]+\b", r"\w{2,}", r"\w{3,}", r"\b\w{2,}\b", r"\b\w{3,}\b",
})  # fmt: skip
"""Patterns that are taken: each finds its tokens in a time that grows with the text alone."""

LONGEST = 20
"""Of n-grams: a text has as many of each length as it has words or characters."""

_SPACES = re.compile(r"\s\s+")


class TextInput(msgspec.Struct, frozen=True):
    """An input that is given to a graph as counts.

    Attributes:
        place: of the input in the signature.
        analyzer: whether words are counted, groups of characters, or such groups inside words.
        lowercase: whether capitals are made small.
        strip_accents: how accents are taken away; None for not.
        token_pattern: what a word is, one of `TOKEN_PATTERNS`.
        shortest: of n-grams.
        longest: of n-grams.
        stop_words: that are left out; None for none.
        vocabulary: what is counted, with its column.
        binary: whether it counts only whether something is there.
    """

    place: int
    analyzer: Literal["word", "char", "char_wb"]
    lowercase: bool
    strip_accents: Literal["ascii", "unicode"] | None
    token_pattern: str
    shortest: int
    longest: int
    stop_words: list[str] | None
    vocabulary: dict[str, int]
    binary: bool


class Counter:
    """Counts texts. Thread-safe.

    Args:
        given: how, and what is counted.

    Raises:
        ValueError: its pattern is none of those that are taken, its n-grams are too long, or a column is none.
    """

    def __init__(self, given: TextInput) -> None:
        if given.token_pattern not in TOKEN_PATTERNS:
            raise ValueError("the graph cuts texts by a pattern that is not known to end")
        if not 1 <= given.shortest <= given.longest <= LONGEST:
            raise ValueError(
                f"the graph counts n-grams of {given.shortest} to {given.longest}; the longest is {LONGEST}"
            )
        if any(not 0 <= column < len(given.vocabulary) for column in given.vocabulary.values()):
            raise ValueError("the graph counts words in columns that it does not have")
        self.place, self.width = given.place, len(given.vocabulary)
        self._vocabulary = given.vocabulary
        self._binary = given.binary
        self._analyze = _analyzer(given)

    def counts(self, texts: list[Any]) -> Any:
        """How often each part of the vocabulary is in each text, float64, shape (texts, vocabulary).

        Raises:
            ValueError: a text is missing.
        """
        made = np.zeros((len(texts), self.width))
        known = self._vocabulary
        for row, text in zip(made, texts, strict=True):
            if text is None:
                raise ValueError("a text is missing")
            for part in self._analyze(text):
                place = known.get(part)
                if place is not None:
                    row[place] += 1
        return np.minimum(made, 1) if self._binary else made


def _analyzer(given: TextInput) -> Callable[[str], list[str]]:
    stripped = {None: None, "ascii": _ascii, "unicode": _without_marks}[given.strip_accents]
    tokens = re.compile(given.token_pattern).findall
    stop_words = frozenset(given.stop_words or ())
    lengths = (given.shortest, given.longest)

    def analyze(text: str) -> list[str]:
        if given.lowercase:
            text = text.lower()
        if stripped is not None:
            text = stripped(text)
        if given.analyzer == "word":
            words = tokens(text)
            return _of_words([word for word in words if word not in stop_words] if stop_words else words, *lengths)
        spaced = _SPACES.sub(" ", text)
        return _of_characters(spaced, *lengths) if given.analyzer == "char" else _inside_words(spaced, *lengths)

    return analyze


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ASCII", "ignore").decode("ASCII")


def _without_marks(text: str) -> str:
    if text.isascii():
        return text
    return "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))


def _of_words(words: list[str], shortest: int, longest: int) -> list[str]:
    if longest == 1:
        return words
    return [
        " ".join(words[start : start + length])
        for length in range(shortest, min(longest, len(words)) + 1)
        for start in range(len(words) - length + 1)
    ]


def _of_characters(text: str, shortest: int, longest: int) -> list[str]:
    return [
        text[start : start + length]
        for length in range(shortest, min(longest, len(text)) + 1)
        for start in range(len(text) - length + 1)
    ]


def _inside_words(text: str, shortest: int, longest: int) -> list[str]:
    found = []
    for word in text.split():
        padded = f" {word} "
        for length in range(shortest, longest + 1):
            found += [padded[start : start + length] for start in range(max(1, len(padded) - length + 1))]
            if len(padded) <= length:
                break  # a word that is shorter is counted once
    return found
