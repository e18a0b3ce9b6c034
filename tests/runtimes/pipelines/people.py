"""Two tables with a meaning: people with their incomes, and sentences."""

from typing import Any

import numpy as np
import pandas as pd

from runtimes.pipelines import data


def people(chance: np.random.Generator, count: int) -> pd.DataFrame:
    """Incomes about 52,000 and ages about 45."""
    return pd.DataFrame({"income": chance.normal(52e3, 9e3, count), "age": chance.normal(45, 12, count)})


def bought(frame: pd.DataFrame) -> Any:
    """What one in ten of them did: 0 or 1, by income and age with noise."""
    odds = (frame["income"] - 70e3) / 6e3 + (frame["age"] - 45) / 10
    return (np.random.default_rng(1).random(len(frame)) < 1 / (1 + np.exp(-odds))).astype(int)


def sentences(chance: np.random.Generator, count: int) -> pd.DataFrame:
    """One column of texts."""
    return pd.DataFrame({"text": pd.Series(data.texts(chance, count), dtype=object)})
