"""A sample of text cells is typed column by column by what the model expects, and never by what a cell looks like."""

import io
import pickle
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ai_platform.models.validation.sample_rows import in_signature_order
from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.samples import Sample, read

pytestmark = pytest.mark.quick

rng = np.random.default_rng(0)
X = rng.normal(size=120)
LEFT = (X > 0).astype(int)


def sampled(table: pd.DataFrame, folder: Path, **written: Any) -> Sample:
    file = folder / "sample.csv"
    table.to_csv(file, index=False, **written)
    return read(file)


def signature_of(artifact: bytes, form: str, sample: Sample | None) -> Signature:
    hints = Hints() if sample is None else Hints(sample.inputs, None, sample.others)
    return FORMATS[form].read_signature(io.BytesIO(artifact), hints)


def answered(artifact: bytes, form: str, signature: Signature, sample: Sample) -> Any:
    rows = in_signature_order(sample.inputs, sample.rows, signature, is_text=sample.others is not None)
    outputs = FORMATS[form].load(io.BytesIO(artifact), signature).predict(rows)
    return np.array(outputs.probabilities)[:, 1]


def encoded(column: str, table: pd.DataFrame, target: Any = LEFT) -> Any:
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [column]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(table, target)


@pytest.mark.parametrize(
    "values",
    [
        ["02116", "00501", "10001"],
        ["NA", "DE", "None"],
        ["nan", "null", "1.0"],
        ["true", "false", "1"],
        ["1e5", "0x1F", " 7"],
    ],
    ids=["codes", "countries", "words", "truth", "numbers"],
)
def test_categories_that_look_like_something_else_stay_strings(tmp_path: Path, values: list[str]) -> None:
    table = pd.DataFrame({"code": rng.choice(values, 120), "x": X})
    target = ((table.code == values[0]) ^ (table.x > 0)).astype(int)
    estimator = encoded("code", table, target)
    artifact = pickle.dumps(estimator)
    sample = sampled(table, tmp_path)
    signature = signature_of(artifact, "sklearn-pickle", sample)
    code = signature.inputs[0]
    assert (code.type, code.nullable, set(code.categories or ())) == ("string", False, set(values))
    assert code.example in values
    found = answered(artifact, "sklearn-pickle", signature, sample)
    assert np.allclose(found, np.asarray(estimator.predict_proba(table))[:, 1], atol=1e-9)


def test_a_word_for_missing_is_missing_where_the_encoder_knows_a_missing_category(tmp_path: Path) -> None:
    table = pd.DataFrame({"plan": rng.choice(np.array(["a", "b", None], dtype=object), 120), "x": X})
    artifact = pickle.dumps(encoded("plan", table))
    sample = sampled(table, tmp_path, na_rep="NA")
    signature = signature_of(artifact, "sklearn-pickle", sample)
    rows = in_signature_order(sample.inputs, sample.rows, signature, is_text=True)
    assert {row[0] for row in rows} == {"a", "b", None}


def test_codes_are_numbers_to_a_model_of_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame({"code": rng.choice([2116, 501, 10001], 120), "x": X})
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, LEFT)
    artifact = pickle.dumps(estimator)
    sample = sampled(table.assign(code=table.code.map("{:05d}".format)), tmp_path)
    signature = signature_of(artifact, "sklearn-pickle", sample)
    assert [feature.type for feature in signature.inputs] == ["number", "number"]
    found = answered(artifact, "sklearn-pickle", signature, sample)
    assert np.allclose(found, np.asarray(estimator.predict_proba(table))[:, 1], atol=1e-9)


def test_numbers_are_texts_to_a_vectorizer(tmp_path: Path) -> None:
    texts = pd.DataFrame({"text": ["2024", "2025 was", "2024", "cold"]})
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts.text, [0, 1, 0, 1])
    sample = sampled(texts[:1], tmp_path)
    signature = signature_of(pickle.dumps(estimator), "sklearn-pickle", sample)
    assert (signature.inputs[0].type, signature.inputs[0].example) == ("string", "2024")


def test_whole_numbers_of_a_sample_are_no_demand(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": rng.integers(18, 80, 120), "flag": rng.integers(0, 2, 120)})
    booster = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(table, LEFT)
    file = tmp_path / "m.json"
    booster.save_model(file)
    signature = signature_of(file.read_bytes(), "xgboost", sampled(table, tmp_path))
    assert [(feature.type, feature.binary) for feature in signature.inputs] == [("number", False), ("number", True)]


def test_truth_values_of_training_are_booleans_with_their_missing_ones(tmp_path: Path) -> None:
    table = pd.DataFrame({"member": rng.choice(np.array([True, False, None], dtype=object), 120), "x": X})
    estimator = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1, min_child_samples=2)
    estimator.fit(table.astype(float), LEFT)
    artifact = pickle.dumps(estimator)
    sample = sampled(table, tmp_path)
    signature = signature_of(artifact, "sklearn-pickle", sample)
    assert signature.inputs[0].type == "boolean"
    found = answered(artifact, "sklearn-pickle", signature, sample)
    assert np.allclose(found, np.asarray(estimator.predict_proba(table.astype(float)))[:, 1], atol=1e-9)


@pytest.mark.parametrize("form", ["sklearn-pickle", "lightgbm"])
def test_names_that_lightgbm_changed_are_those_of_the_sample(tmp_path: Path, form: str) -> None:
    table = pd.DataFrame({"mean radius": X, "area (cm)": -X})
    estimator = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(table, LEFT)
    artifact = pickle.dumps(estimator) if form == "sklearn-pickle" else estimator.booster_.model_to_string().encode()
    sample = sampled(table.assign(target=LEFT)[["target", "area (cm)", "mean radius"]], tmp_path)
    signature = signature_of(artifact, form, sample)
    assert [feature.name for feature in signature.inputs] == ["mean radius", "area (cm)"]
    assert (signature.ignored, signature.respelt) == (("target",), True)
    assert np.allclose(
        answered(artifact, form, signature, sample), np.asarray(estimator.predict_proba(table))[:, 1], atol=1e-9
    )
    assert signature_of(artifact, form, None).respelt


def test_names_that_xgboost_refused_are_those_of_the_sample(tmp_path: Path) -> None:
    table = pd.DataFrame({"size_m2_": X, "age__10": -X})
    booster = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(table, LEFT)
    file = tmp_path / "m.json"
    booster.save_model(file)
    sample = sampled(table.set_axis(["size[m2]", "age <10"], axis=1), tmp_path)
    signature = signature_of(file.read_bytes(), "xgboost", sample)
    assert [feature.name for feature in signature.inputs] == ["size[m2]", "age <10"]


def test_a_sample_is_read_in_whatever_shape_it_comes(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": X.round(3), "place": rng.choice(["Málaga", "Ulm"], 120)})
    plain = sampled(table, tmp_path)
    for written in ({"sep": ";", "decimal": ","}, {"encoding": "utf-8-sig"}, {"sep": "\t", "encoding": "utf-16"}):
        other = sampled(table, tmp_path, **written)
        assert (other.inputs, other.rows) == (plain.inputs, plain.rows)
    table.to_json(tmp_path / "sample.csv", orient="records")
    assert read(tmp_path / "sample.csv").inputs == plain.inputs


def test_a_sample_with_a_broken_line_is_refused_by_that_line(tmp_path: Path) -> None:
    file = tmp_path / "sample.csv"
    file.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match=r"line 3 of sample.csv has 3 cells"):
        read(file)
