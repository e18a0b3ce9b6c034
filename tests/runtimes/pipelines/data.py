"""Random tables with odd scales, and fresh rows of the same distribution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Draw = Callable[[np.random.Generator, int], Any]
CITIES = np.array(["Oslo", "São Paulo", "New York", "02116", "N/A", "rome", "Rome"], dtype=object)

NUMBERS: dict[str, Draw] = {
    "income": lambda chance, count: chance.normal(52e3, 9e3, count),
    "tiny": lambda chance, count: chance.normal(3e-5, 1e-6, count),
    "stamp": lambda chance, count: chance.normal(1.7e9, 1e6, count),
    "price": lambda chance, count: chance.lognormal(3, 1.5, count).round(2),
    "visits": lambda chance, count: chance.poisson(4, count).astype(float),
    "age": lambda chance, count: chance.integers(18, 90, count).astype(float),
    "share": lambda chance, count: chance.random(count),
    "level": lambda chance, count: chance.integers(1, 5, count).astype(float),
    "change": lambda chance, count: chance.standard_t(2, count),
}
KINDS: dict[str, Draw] = {
    "city": lambda chance, count: chance.choice(CITIES, count, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05]),
    "plan": lambda chance, count: chance.choice(np.array(["basic", "plus", "family"], dtype=object), count),
    "grade": lambda chance, count: chance.integers(1, 6, count),
}
WORDS = np.array([
    "good", "Bad", "GREAT", "café", "naïve", "a", "I", "ok", "it's", "2024", "no.", "e-mail", "Straße", "slow",
    "thanks", "under_score", "😀", "x\ny", "don't",
])  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Training data of one model.

    Attributes:
        frame: columns of numbers first, then of categories; missing numbers are NaN.
        numbers: names of the columns of numbers.
        kinds: names of the columns of categories.
        missing: share of missing numbers.
    """

    frame: pd.DataFrame
    numbers: list[str]
    kinds: list[str]
    missing: float

    def fresh(self, chance: np.random.Generator, count: int) -> pd.DataFrame:
        """New rows: most as in training, one in ten of the numbers outside, one cell in ten a value of training."""
        frame = drawn(chance, count, self.numbers, self.kinds, self.missing)
        for name in self.numbers:
            column, known = frame[name].to_numpy(copy=True), self.frame[name].to_numpy()
            seen = chance.random(count) < 0.1
            column[seen] = chance.choice(known, int(seen.sum()))
            outside = chance.random(count) < 0.05
            low, high = np.nanmin(known), np.nanmax(known)
            column[outside] = chance.uniform(low - (high - low) / 2, high + (high - low) / 2, int(outside.sum()))
            frame[name] = column
        return frame


def drawn(
    chance: np.random.Generator, count: int, numbers: list[str], kinds: list[str], missing: float
) -> pd.DataFrame:
    """Rows of the named columns, independent of one another."""
    columns: dict[str, Any] = {name: NUMBERS[name](chance, count) for name in numbers}
    for column in columns.values():
        column[chance.random(count) < missing] = np.nan
    return pd.DataFrame(columns | {name: KINDS[name](chance, count) for name in kinds})


def table(chance: np.random.Generator, *, kinds: bool, missing: bool) -> Table:
    """A table of 120 to 500 rows of two to six columns of numbers, and of one to three of categories."""
    numbers = chance.choice(list(NUMBERS), int(chance.integers(2, 7)), replace=False).tolist()
    chosen = chance.choice(list(KINDS), int(chance.integers(1, 4)), replace=False).tolist() if kinds else []
    share = float(chance.choice([0.03, 0.2])) if missing else 0.0
    frame = drawn(chance, int(chance.integers(120, 500)), numbers, chosen, share)
    return Table(frame, numbers, chosen, share)


def texts(chance: np.random.Generator, count: int) -> list[str]:
    """Sentences of no word to twelve words, with accents, capitals, one-letter words, digits and emoji."""
    return [
        str(chance.choice([" ", ", ", "  "])).join(chance.choice(WORDS, chance.integers(0, 13))) for _ in range(count)
    ]


def signal(chance: np.random.Generator, frame: pd.DataFrame) -> Any:
    """What a target follows: a random function of the columns with noise, about one in scale."""
    total = chance.normal(0, 0.3, len(frame))
    for name in frame:
        column = frame[name]
        if column.dtype == object:
            codes = column.map({value: chance.normal() for value in sorted(column.unique())}).to_numpy(float)
        else:
            filled = column.fillna(column.median()).to_numpy(float)
            codes = (filled - filled.mean()) / (filled.std() or 1.0)
        total = total + chance.normal() * codes + (chance.normal() * np.sin(2 * codes) if chance.random() < 0.3 else 0)
    return total
