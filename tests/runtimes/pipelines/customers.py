"""Customers who stay or leave: numbers with gaps, texts with gaps, and what people predict of them."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

NUMBERS, KINDS = ["age", "bill", "months"], ["plan", "city", "pays"]


def customers(chance: np.random.Generator, count: int) -> pd.DataFrame:
    """Rows of three numbers and three texts, a tenth of the bills and a third of the payments missing."""
    frame = pd.DataFrame({
        "age": chance.integers(18, 90, count).astype(float),
        "bill": chance.gamma(2, 30, count),
        "months": chance.integers(0, 72, count).astype(float),
        "plan": chance.choice(np.array(["basic", "plus", "pro"], object), count),
        "city": chance.choice(np.array(["Oslo", "Rome", "São Paulo", "02116"], object), count),
        "pays": chance.choice(np.array(["card", "bank", np.nan], object), count),
    })  # fmt: skip
    frame.loc[chance.random(count) < 0.1, "bill"] = np.nan
    return frame


def worth(frame: pd.DataFrame) -> Any:
    """A positive number for each customer."""
    signal = frame["age"] / 50 + frame["bill"].fillna(60) / 60 - frame["months"] / 30
    return np.exp((signal + (frame["plan"] == "pro") * 1.5 + (frame["city"] == "Rome")) / 3).to_numpy()


def leaves(frame: pd.DataFrame) -> Any:
    """Whether each customer leaves."""
    return (worth(frame) > 1.6).astype(int)


def band(frame: pd.DataFrame) -> Any:
    """One of three bands of worth, as a text."""
    return np.array(["low", "mid", "high"], object)[np.digitize(worth(frame), [1.2, 2.0])]


def encoded(*, scaled: bool = True) -> ColumnTransformer:
    """The commonest preparation there is: imputed, scaled, one column a category."""
    numbers = [SimpleImputer(strategy="median"), *([StandardScaler()] if scaled else [])]
    kinds = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([("numbers", make_pipeline(*numbers), NUMBERS), ("kinds", kinds, KINDS)])


def numbered() -> ColumnTransformer:
    """For trees: numbers as they are, a number for each category."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return ColumnTransformer([("numbers", "passthrough", NUMBERS), ("kinds", encoder, KINDS)])
