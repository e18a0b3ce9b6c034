"""Compiling an estimator to a graph that answers alike and faster, or saying why not."""

import statistics
import time
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import LoadedModel, Rows
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.compiler.lowering.graph import Unsupported
from ai_platform.runtimes.compiler.lowering.lower import Lowered, lowered
from ai_platform.runtimes.compiler.parity import ROUNDING, difference, difference_of
from ai_platform.runtimes.compiler.probe_coverage import ProbeRows, columns_given
from ai_platform.runtimes.onnx.model import OnnxRuntime
from ai_platform.runtimes.sklearn.tables import parts_of

_TIMED_CALLS = 60
_TIMED_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Compiled:
    """A graph that may serve in place of the estimator.

    Attributes:
        content: an ONNX file for the `onnx` runtime, with the platform's signature in its metadata.
        native_seconds_per_row: median time of one row alone in the estimator.
        compiled_seconds_per_row: the same in the graph.
        largest_difference: largest difference of a probability, or of a number relative to the larger of itself and 1.
        rows_checked: rows compared.
        coverage: what of the model these rows reached, for people.
    """

    content: bytes
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
        largest_difference: of the graph; None when there was none.
        rows_checked: rows compared.
    """

    why: str
    largest_difference: float | None = None
    rows_checked: int = 0


def compile_to_onnx(
    estimator: Any, native: LoadedModel, signature: Signature, check_rows: Rows, *, largest_bytes: int
) -> Compiled | Refusal:
    """Write an estimator as a graph, and take that where it agrees and is faster.

    Takes seconds, and memory of some times the graph's size. It prints and warns of nothing.

    Args:
        estimator: a fitted scikit-learn estimator or pipeline; it is not changed.
        native: the same in service, with which graphs are compared.
        signature: its inputs and classes.
        check_rows: golden and sample rows, shape (n, features), n >= 1; the first 500 are used.
        largest_bytes: of a graph.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are left out, and of rows that are far from training's
        try:
            graph = _lowered(estimator, native, signature, check_rows, largest_bytes)
            compiled = OnnxRuntime().load(BytesIO(graph.content), signature)
        except Unsupported as error:
            return Refusal(str(error))
        except Exception as error:  # noqa: BLE001  # a model's attributes may be anything
            return Refusal(f"it cannot be written as a graph ({type(error).__name__})")
        try:
            probes = ProbeRows(estimator, native, signature, check_rows, graph=graph, compiled=compiled)
        except Exception as error:  # noqa: BLE001  # a model raises what it likes
            return Refusal(f"the model cannot predict rows like those of its sample ({type(error).__name__})")
    lack = probes.coverage.lack
    if lack is not None:
        advice = "" if len(check_rows) > 1 else "; publish it with --sample"
        return Refusal(f"{lack}, too few to compare a graph on{advice}", rows_checked=probes.coverage.rows)
    return _tried(graph.content, compiled, probes, has_ties=not has_weights(estimator))


def _lowered(estimator: Any, native: LoadedModel, signature: Signature, rows: Rows, largest_bytes: int) -> Lowered:
    answered = native.predict(rows[:1])
    if signature.classes is None and np.asarray(answered.predictions).dtype.kind not in "fiu":
        raise Unsupported("it answers with several classes a row, for which a graph has no form")
    columns = columns_given(estimator, signature)
    places = [None if column is None else column.place for column in columns]
    has_probabilities = answered.probabilities is not None
    found = lowered(estimator, signature, places, has_probabilities=has_probabilities, largest_bytes=largest_bytes)
    if len(found.content) > largest_bytes:
        raise Unsupported(f"the graph has more than {largest_bytes // 1_000_000} MB")
    return found


def _tried(content: bytes, model: LoadedModel, probes: ProbeRows, *, has_ties: bool) -> Compiled | Refusal:
    try:
        # A tie of sums is one only by rounding, and a tie of votes one for every row that comes to the same leaves.
        ties = probes.structural if has_ties else 0
        found = difference_of(probes.outputs, model.predict(probes.rows), ties, ROUNDING)
    except Exception as error:  # noqa: BLE001  # the library has no class of its own
        return Refusal(f"the graph cannot be run ({type(error).__name__})")
    if found:
        return Refusal(f"compiled it does not agree with the original: {found}", found.largest, found.rows)
    if any(_answers_otherwise(probes.native, model, [row]) for row in probes.unknown):
        return Refusal("compiled it treats unknown categories otherwise", found.largest, found.rows)
    row = probes.rows[:1]
    native, compiled = seconds_per_row(probes.native, row), seconds_per_row(model, row)
    if compiled >= native:
        why = f"compiled it is not faster ({compiled * 1e6:.0f} µs a row, and {native * 1e6:.0f} µs as it is)"
        return Refusal(why, found.largest, found.rows)
    return Compiled(content, native, compiled, found.largest, found.rows, str(probes.coverage))


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


# What parts keep that multiply and sum up: weights of linear models and networks, means of discriminants and of bayes.
_WEIGHTS = ("coef_", "coefs_", "theta_", "means_")


def has_weights(estimator: Any) -> bool:
    """Whether some part multiplies by numbers that it learnt and sums up, which trees and encoders do not."""
    return any(hasattr(part, name) for part in parts_of(estimator) for name in _WEIGHTS)
