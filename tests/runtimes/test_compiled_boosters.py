"""Boosters of LightGBM's and XGBoost's own files are compiled, leaf by leaf, and answer as their library does."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from xgboost import XGBClassifier, XGBRegressor

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.compiler.compiling import Compiled, compile_to_onnx
from ai_platform.runtimes.compiler.parity import difference

CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(600, 5))
X[CHANCE.random(X.shape) < 0.05] = np.nan
KNOWN = np.nan_to_num(X)
TWO = (KNOWN[:, 0] + KNOWN[:, 1] ** 2 > 0.5).astype(int)
THREE = np.digitize(KNOWN[:, 2], [-0.5, 0.5])
NUMBER = np.exp(KNOWN[:, 3])
ROWS = [[None if np.isnan(value) else float(value) for value in row] for row in X]

BOOSTERS: dict[str, tuple[Any, Any]] = {
    "lightgbm, two classes": (LGBMClassifier(n_estimators=10, verbose=-1), TWO),
    "lightgbm, three classes": (LGBMClassifier(n_estimators=10, verbose=-1), THREE),
    "lightgbm, a number": (LGBMRegressor(n_estimators=10, verbose=-1), NUMBER),
    "lightgbm, dart": (LGBMRegressor(n_estimators=10, boosting_type="dart", verbose=-1), NUMBER),
    "lightgbm, a forest": (
        LGBMClassifier(n_estimators=10, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, verbose=-1), TWO,
    ),
    "lightgbm, tweedie": (LGBMRegressor(n_estimators=10, objective="tweedie", verbose=-1), NUMBER),
    "xgboost, two classes": (XGBClassifier(n_estimators=10), TWO),
    "xgboost, three classes": (XGBClassifier(n_estimators=10), THREE),
    "xgboost, a number": (XGBRegressor(n_estimators=60), NUMBER),
    "xgboost, dart": (XGBRegressor(n_estimators=10, booster="dart", rate_drop=0.3), NUMBER),
    "xgboost, a base score": (XGBClassifier(n_estimators=10, base_score=0.2), TWO),
    "xgboost, gamma": (XGBRegressor(n_estimators=10, objective="reg:gamma"), NUMBER),
    "xgboost, stopped early": (XGBClassifier(n_estimators=100, early_stopping_rounds=2), TWO),
}  # fmt: skip


def saved(estimator: Any, folder: Path) -> tuple[str, bytes]:
    """The format of a fitted booster, and its own file."""
    if hasattr(estimator, "booster_"):
        estimator.booster_.save_model(folder / "model.txt")
        return "lightgbm", (folder / "model.txt").read_bytes()
    estimator.save_model(folder / "model.json")
    return "xgboost", (folder / "model.json").read_bytes()


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_booster_of_a_file_is_compiled_and_right(name: str, tmp_path: Path) -> None:
    estimator, target = BOOSTERS[name]
    more = {"eval_set": [(X[:60], 1 - TWO[:60])], "verbose": False} if "early" in name else {}
    kind, content = saved(estimator.fit(X, target, **more), tmp_path)
    signature = FORMATS[kind].read_signature(io.BytesIO(content), Hints())
    native: Any = FORMATS[kind].load(io.BytesIO(content), signature)
    found = compile_to_onnx(native.estimator, native, signature, ROWS[:100], largest_bytes=10_000_000)
    assert isinstance(found, Compiled), found
    compiled = FORMATS["onnx"].load(io.BytesIO(found.content), signature)
    seen = difference(native, compiled, ROWS)
    assert not seen, seen
    assert seen.largest < 5e-7  # XGBoost's own numbers are float32
    reached, leaves = (int(part) for part in found.coverage.split(", ")[-1].removesuffix(" leaves").split(" of "))
    assert reached >= 0.9 * leaves > 0
