"""Graphs and boosters: what `test_runtimes.py` demands of every format, and what is particular to these."""

import builtins
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from ai_platform.runtimes.base.runtime import Hints, LoadedModel
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from runtimes.conformance.cases import Case
from runtimes.conformance.cases_graphs import CASES, IRIS, LIGHTGBM, MISSING, ONNX, XGBOOST, saved

BOOSTERS = [XGBOOST[0], XGBOOST[3], LIGHTGBM[0]]


def read(case: Case, hints: Hints | None = None) -> Signature:
    return FORMATS[case.format].read_signature(io.BytesIO(case.expected.artifact), hints or case.hints)


def load(case: Case, signature: Signature | None = None) -> LoadedModel:
    return FORMATS[case.format].load(io.BytesIO(case.expected.artifact), signature or read(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_file_answers_as_its_library_does(case: Case) -> None:
    expected, outputs = case.expected, load(case).predict(case.expected.rows)
    if expected.classes is None:
        numbers: Any = outputs.predictions
        np.testing.assert_allclose(numbers, expected.predictions, rtol=1e-5, atol=1e-5)
    else:
        assert outputs.predictions == expected.predictions
    if expected.probabilities is not None:
        np.testing.assert_allclose(outputs.probabilities, expected.probabilities, atol=1e-5)  # type: ignore[arg-type]
    assert (outputs.probabilities is None) == (expected.probabilities is None)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_file_says_what_it_takes_and_answers(case: Case) -> None:
    found = read(case)
    assert case.signature is None or found == case.signature
    assert found.classes is None or list(found.class_values or found.classes) == case.expected.classes


@pytest.mark.parametrize("case", [ONNX[0], ONNX[10], *BOOSTERS], ids=str)
def test_many_threads_get_what_one_row_alone_gets(case: Case) -> None:
    model, rows = load(case), case.expected.rows * 8
    with ThreadPoolExecutor(8) as threads:
        alone = list(threads.map(lambda row: model.predict([row]).probabilities, rows))
    np.testing.assert_allclose([one[0] for one in alone if one], model.predict(rows).probabilities, atol=1e-6)  # type: ignore[arg-type]
    assert None not in alone


@pytest.mark.parametrize("case", [ONNX[0], XGBOOST[0], LIGHTGBM[0]], ids=str)
def test_a_file_cut_short_is_refused(case: Case) -> None:
    content = case.expected.artifact
    for size in range(0, len(content) * 3 // 4, len(content) // 40):
        with pytest.raises(ValueError, match=r"\w"):
            FORMATS[case.format].load(io.BytesIO(content[:size]), MISSING)


@pytest.mark.parametrize("case", [ONNX[0], *BOOSTERS], ids=str)
def test_names_for_another_number_of_classes_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="--classes names 2 classes, and the model has 3"):
        read(case, Hints(classes=("a", "b")))


@pytest.mark.parametrize("case", [ONNX[0], *BOOSTERS], ids=str)
def test_a_signature_of_another_model_is_refused(case: Case) -> None:
    other = Signature(inputs=tuple(Feature(name=f"x{number}") for number in range(5)), classes=("0", "1", "2"))
    with pytest.raises(ValueError, match="has 5 inputs"):
        load(case, other)
    with pytest.raises(ValueError, match=r"classes"):
        load(case, Signature(inputs=read(case).inputs, classes=("a", "b"), class_values=(0, 1)))


def test_a_sample_with_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the sample has 1 columns and the model takes 4"):
        read(LIGHTGBM[0], Hints((Feature(name="one"),)))


def test_a_sample_without_a_column_that_the_file_names_is_refused() -> None:
    with pytest.raises(ValueError, match="the sample has no column 'sepal_length'"):
        read(XGBOOST[3], Hints((Feature(name="one"),)))


def test_classes_for_a_model_of_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="predicts numbers"):
        read(XGBOOST[5], Hints(classes=("a", "b")))


@pytest.mark.parametrize(("name", "case"), [("xgboost", XGBOOST[0]), ("lightgbm", LIGHTGBM[0])])
def test_without_its_library_a_booster_is_refused_with_the_extra_that_brings_it(
    name: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(asked: str, *rest: Any, **more: Any) -> Any:
        if asked.split(".", maxsplit=1)[0] == name:
            raise ImportError(asked)
        return real(asked, *rest, **more)

    content = case.expected.artifact
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"not installed.*ai-platform\[boosters\]"):
        FORMATS[name].load(io.BytesIO(content), MISSING)


def test_a_booster_with_categories_that_xgboost_keeps_is_refused() -> None:
    data = xgboost.DMatrix(IRIS.data.astype(int), IRIS.target, feature_types=["c"] * 4, enable_categorical=True)
    model = xgboost.train({"max_depth": 2, "nthread": 1}, data, 2)
    with pytest.raises(ValueError, match="categorical features"):
        FORMATS["xgboost"].read_signature(io.BytesIO(saved(model, ".json")), Hints())


def test_a_category_that_lightgbm_never_saw_is_a_missing_value() -> None:
    case = LIGHTGBM[2]
    row = list(case.expected.rows[0])
    place = [feature.name for feature in read(case).inputs].index("city")
    unknown, missing = [*row[:place], "Atlantis", *row[place + 1 :]], [*row[:place], None, *row[place + 1 :]]
    answers = load(case).predict([unknown, missing]).predictions
    assert answers[0] == answers[1]


def test_lightgbm_says_nothing_when_it_reads_and_predicts(capfd: pytest.CaptureFixture[str]) -> None:
    load(LIGHTGBM[0]).predict(LIGHTGBM[0].expected.rows)
    assert capfd.readouterr() == ("", "")
    assert lightgbm.__version__ in FORMATS["lightgbm"].libraries().values()
