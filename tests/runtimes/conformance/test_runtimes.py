"""What every runtime must do, on every case of every module `cases_*.py` beside this file."""

import importlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ai_platform.runtimes.base.runtime import LoadedModel
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from runtimes.conformance.cases import Case

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
CASES: list[Case] = [case for name in MODULES for case in importlib.import_module(f"runtimes.conformance.{name}").CASES]
TOLERANCE = 1e-5
GARBAGE = [b"", b"this is no model", b"\x00" * 64, b"\x80\x05\x95", b"PK\x03\x04 cut short", b"{}"]


@pytest.fixture(scope="module", autouse=True)
def one_thread_each() -> Iterator[None]:
    """The tests' processes share the cores already."""
    with threadpool_limits(1):
        yield


_signatures: dict[int, Signature] = {}
_loaded: dict[int, LoadedModel] = {}


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def opened(case: Case) -> io.BytesIO:
    return io.BytesIO(case.expected.artifact)


def signature(case: Case) -> Signature:
    if id(case) not in _signatures:
        _signatures[id(case)] = FORMATS[case.format].read_signature(opened(case), case.hints)
    return _signatures[id(case)]


@pytest.fixture
def model(case: Case) -> LoadedModel:
    if id(case) not in _loaded:
        _loaded[id(case)] = FORMATS[case.format].load(opened(case), signature(case))
    return _loaded[id(case)]


def assert_near(found: Any, expected: Any) -> None:
    if _holds_numbers(expected):
        np.testing.assert_allclose(np.squeeze(found), np.squeeze(expected), atol=TOLERANCE, rtol=TOLERANCE)
    else:
        assert found == expected


def _holds_numbers(values: list[Any]) -> bool:
    return all(_holds_numbers(value) if isinstance(value, list) else type(value) is float for value in values)


def test_predictions_are_the_librarys_own(case: Case, model: LoadedModel) -> None:
    assert_near(model.predict(case.expected.rows).predictions, case.expected.predictions)


def test_probabilities_are_the_librarys_own_where_it_has_them(case: Case, model: LoadedModel) -> None:
    found = model.predict(case.expected.rows).probabilities
    if case.expected.probabilities is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, case.expected.probabilities, atol=TOLERANCE)  # type: ignore[arg-type]


def test_class_numbers_are_places_in_the_signatures_classes(case: Case, model: LoadedModel) -> None:
    outputs, read = model.predict(case.expected.rows), signature(case)
    if case.expected.classes is None:
        assert outputs.class_numbers is None
        assert read.classes is None
    else:
        assert outputs.class_numbers is not None
        assert read.classes is not None
        values = read.class_values or read.classes
        assert list(values) == case.expected.classes
        assert [values[number] for number in outputs.class_numbers] == list(outputs.predictions)


def test_the_signature_is_read_of_the_model(case: Case) -> None:
    found = signature(case)
    assert len(found.inputs) == len(case.expected.rows[0])
    if case.signature is not None:
        assert found == case.signature


def test_the_signature_survives_its_manifest(case: Case) -> None:
    assert msgspec.json.decode(msgspec.json.encode(signature(case)), type=Signature) == signature(case)


def test_rows_together_give_what_each_gives_alone(case: Case, model: LoadedModel) -> None:
    together = model.predict(case.expected.rows[:3])
    alone = [model.predict([row]) for row in case.expected.rows[:3]]
    assert_near(together.predictions, [one.predictions[0] for one in alone])
    if together.probabilities is not None:
        assert_near(together.probabilities, [one.probabilities[0] for one in alone if one.probabilities])


def test_outputs_are_plain_values_that_json_can_hold(case: Case, model: LoadedModel) -> None:
    outputs = model.predict(case.expected.rows)
    assert len(outputs) == len(case.expected.rows)
    written = json.dumps([outputs.predictions, outputs.class_numbers, outputs.probabilities], allow_nan=False)
    assert json.loads(written) == [outputs.predictions, outputs.class_numbers, outputs.probabilities]


def test_the_rows_that_were_given_are_not_changed(case: Case, model: LoadedModel) -> None:
    rows = [list(row) for row in case.expected.rows]
    model.predict(rows)
    assert rows == case.expected.rows


def test_many_threads_at_once_get_the_same_answers(case: Case, model: LoadedModel) -> None:
    expected = model.predict(case.expected.rows)
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: model.predict(case.expected.rows), range(4)))
    assert all(answer == expected for answer in answers)


@pytest.mark.parametrize("case", [case for case in CASES if case.hints.inputs is None], ids=str)
def test_a_signature_with_other_inputs_than_the_model_knows_is_refused(case: Case) -> None:
    read = signature(case)
    other = msgspec.structs.replace(read, inputs=(*read.inputs, Feature(name="another")))
    with pytest.raises(ValueError, match="input"):
        FORMATS[case.format].load(opened(case), other)


def test_what_would_be_executed_is_told_without_executing_it(case: Case) -> None:
    artifact = opened(case)
    found = FORMATS[case.format].untrusted_types(artifact)
    assert all(isinstance(name, str) and name for name in found)
    if case.format in {"sklearn-pickle", "python"}:
        assert found


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("name", FORMATS)
def test_bytes_of_another_kind_are_refused_and_nothing_is_loaded(name: str, content: bytes) -> None:
    runtime = FORMATS[name]
    with pytest.raises(ValueError, match=r"\w"):
        runtime.untrusted_types(io.BytesIO(content))
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever the library raises; the loader words it
        runtime.load(io.BytesIO(content), Signature(inputs=(Feature(name="any"),)))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_the_versions_of_its_libraries(name: str) -> None:
    versions = FORMATS[name].libraries()
    assert versions
    assert all(version[0].isdigit() for version in versions.values())


def test_every_format_has_a_case() -> None:
    assert {case.format for case in CASES} == set(FORMATS)
