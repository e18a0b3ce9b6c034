"""Compiling an estimator to a graph that answers alike and faster, or saying why not."""

import re
import statistics
import time
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import LoadedModel, Rows
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.compiler.conversion import InputForm, convert, forms, graph_bytes
from ai_platform.runtimes.compiler.convertible import has_weights, why_never
from ai_platform.runtimes.compiler.parity import ROUNDING, Difference, difference, difference_of
from ai_platform.runtimes.compiler.probe_coverage import ProbeRows
from ai_platform.runtimes.onnx.model import OnnxRuntime

_TIMED_CALLS = 60
_TIMED_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Compiled:
    """A graph that may serve in place of the estimator.

    Attributes:
        content: an ONNX file for the `onnx` runtime, with the platform's signature in its metadata.
        inputs: how the graph takes its inputs, for people.
        native_seconds_per_row: median time of one row alone in the estimator.
        compiled_seconds_per_row: the same in the graph.
        largest_difference: largest difference of a probability, or of a number relative to the larger of itself and 1.
        rows_checked: rows compared.
        coverage: what of the model these rows reached, for people.
    """

    content: bytes
    inputs: str
    native_seconds_per_row: float
    compiled_seconds_per_row: float
    largest_difference: float
    rows_checked: int
    coverage: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the estimator serves as it is.

    Attributes:
        why: one sentence.
        largest_difference: of the graph that came nearest; None when there was none.
        rows_checked: rows compared.
        is_of_one_tensor: whether that graph takes its inputs in one tensor.
    """

    why: str
    largest_difference: float | None = None
    rows_checked: int = 0
    is_of_one_tensor: bool = False


def compile_to_onnx(
    estimator: Any, native: LoadedModel, signature: Signature, check_rows: Rows, *, largest_bytes: int
) -> Compiled | Refusal:
    """Convert an estimator in each way that might be right, and take the first graph that agrees and is faster.

    Takes seconds, and memory of some times the graph's size. It prints and warns of nothing.

    Args:
        estimator: a fitted scikit-learn estimator or pipeline; it is not changed.
        native: the same in service, with which graphs are compared.
        signature: its inputs and classes.
        check_rows: golden and sample rows, shape (n, features), n >= 1; the first 500 are used.
        largest_bytes: of a graph.
    """
    never = why_never(estimator)
    if never is not None:
        return Refusal(never)
    if graph_bytes(estimator) > largest_bytes:
        return Refusal(f"its trees would make a graph of more than {largest_bytes // 1_000_000} MB")
    try:
        if not _is_one_answer(native, signature, check_rows):
            return Refusal("it answers with several classes a row, for which a graph has no form")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rows that are far from those of training
            probes = ProbeRows(estimator, native, signature, check_rows)
    except Exception as error:  # noqa: BLE001  # a model raises what it likes
        return Refusal(f"the model cannot predict rows like those of its sample ({type(error).__name__})")
    lack = probes.coverage.lack
    if lack is not None:
        advice = "" if len(check_rows) > 1 else "; publish it with --sample"
        return Refusal(f"{lack}, too few to compare a graph on{advice}", rows_checked=probes.coverage.rows)
    return _first_that_serves(estimator, probes, largest_bytes)


def _first_that_serves(estimator: Any, probes: ProbeRows, largest_bytes: int) -> Compiled | Refusal:
    nearest: Refusal | None = None
    why = ""
    weighted = has_weights(estimator)
    for form in forms(probes.signature):
        if weighted and not form.is_double:
            continue  # sums of float32 lose most where they cancel out, and no probe row need lie there
        if form.by_column and nearest is not None and nearest.is_of_one_tensor:
            break  # the same numbers in columns give the same answers
        try:
            content = convert(estimator, probes.signature, form, has_probabilities=probes.has_probabilities)
        except Exception as error:  # noqa: BLE001  # a converter raises what it likes
            why = why or _not_converted(error)
            continue
        found = _tried(content, form, probes, largest_bytes, 0.0 if weighted else ROUNDING)
        if isinstance(found, Compiled):
            return found
        if nearest is None or _rank(found) < _rank(nearest):
            nearest = found
    return nearest or Refusal(why)


def _tried(
    content: bytes, form: InputForm, probes: ProbeRows, largest_bytes: int, rounding: float
) -> Compiled | Refusal:
    if len(content) > largest_bytes:
        return _refused(f"the graph has more than {largest_bytes // 1_000_000} MB", form)
    try:
        model = OnnxRuntime().load(BytesIO(content), probes.signature)
        found = difference_of(probes.outputs, model.predict(probes.rows), probes.structural, rounding)
    except Exception as error:  # noqa: BLE001  # the library has no class of its own
        return _refused(f"the graph with {form.name} cannot be run ({type(error).__name__})", form)
    if found:
        return _refused(f"compiled with {form.name} it does not agree with the original: {found}", form, found)
    if any(_answers_otherwise(probes.native, model, [row]) for row in probes.unknown):
        return _refused("compiled it treats unknown categories otherwise", form, found)
    row = probes.rows[:1]
    native, compiled = seconds_per_row(probes.native, row), seconds_per_row(model, row)
    if compiled >= native:
        why = f"compiled it is not faster ({compiled * 1e6:.0f} µs a row, and {native * 1e6:.0f} µs as it is)"
        return _refused(why, form, found)
    return Compiled(content, form.name, native, compiled, found.largest, found.rows, str(probes.coverage))


def _refused(why: str, form: InputForm, found: Difference | None = None) -> Refusal:
    if found is None:
        return Refusal(why, is_of_one_tensor=not form.by_column)
    return Refusal(why, found.largest, found.rows, is_of_one_tensor=not form.by_column)


def seconds_per_row(model: LoadedModel, row: Rows) -> float:
    """Median seconds of predicting one row alone, over at most a quarter of a second.

    Args:
        model: to be measured.
        row: shape (1, features).
    """
    times: list[float] = []
    limit = time.perf_counter() + _TIMED_SECONDS
    model.predict(row)
    while len(times) < _TIMED_CALLS and (not times or time.perf_counter() < limit):
        begun = time.perf_counter()
        model.predict(row)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _is_one_answer(native: LoadedModel, signature: Signature, rows: Rows) -> bool:
    """Whether it answers with a class, or with a number or numbers."""
    return signature.classes is not None or np.asarray(native.predict(rows[:1]).predictions).dtype.kind in "fiu"


def _answers_otherwise(first: LoadedModel, second: LoadedModel, rows: Rows) -> bool:
    try:
        first.predict(rows)
    except Exception:  # noqa: BLE001  # a model raises what it likes
        return not _raises(second, rows)
    return _raises(second, rows) or bool(difference(first, second, rows))


def _raises(model: LoadedModel, rows: Rows) -> bool:
    try:
        model.predict(rows)
    except Exception:  # noqa: BLE001  # a model raises what it likes
        return True
    return False


def _rank(refusal: Refusal) -> float:
    return float("inf") if refusal.largest_difference is None else refusal.largest_difference


def _not_converted(error: Exception) -> str:
    # Converters print what they hold; a person needs the words before it.
    reason = re.split(r"[{<\n]|\. | with name=", str(error).strip())[0][:160].strip(" .,:=(")
    return f"it cannot be converted to ONNX: {reason or type(error).__name__}"
