"""A pipeline through publishing's own steps, compared with the library on fresh rows."""

import io
import pickle
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ai_platform.models.validation.sample_rows import in_signature_order, synthetic_row
from ai_platform.runtimes.base.runtime import Hints, LoadedModel, Outputs
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.compiler.compiling import Compiled, compile_to_onnx
from ai_platform.runtimes.samples import from_frame
from runtimes.pipelines.generator import Trained

EQUAL = 1e-6
# Of the largest number of a model: what is smaller has lost its last digits to cancelling.
CANCELLED = 1e-5
LARGEST = 50_000_000


@dataclass(frozen=True)
class Compared:
    """What came of one pipeline.

    Attributes:
        form: compiled or native.
        why: why it is native.
        seconds: what compiling took.
        faults: differences from the library, in words; none where all is right.
    """

    form: str
    why: str
    seconds: float
    faults: list[str]


def compare(model: Trained, seed: int, count: int, *, sampled: bool) -> Compared:
    """Read, load and compile a pipeline as publishing does, with a sample or without, and predict fresh rows."""
    runtime = FORMATS["sklearn-pickle"]
    content = pickle.dumps(model.estimator)
    sample = from_frame(model.frame) if sampled else None
    signature = runtime.read_signature(io.BytesIO(content), Hints(sample.inputs if sample else None))
    native = runtime.load(io.BytesIO(content), signature)
    rows = in_signature_order(sample.inputs, sample.rows, signature) if sample else [synthetic_row(signature)]
    begun = time.perf_counter()
    found = compile_to_onnx(native.estimator, native, signature, rows, largest_bytes=LARGEST)  # type: ignore[attr-defined]
    seconds = time.perf_counter() - begun
    fresh = model.fresh(np.random.default_rng([seed, 1]), count)
    fresh = fresh[admitted(fresh, signature)]
    is_compiled = isinstance(found, Compiled)
    served = FORMATS["onnx"].load(io.BytesIO(found.content), signature) if isinstance(found, Compiled) else native
    faults = [] if fresh.empty else differences(model, served, signature, fresh)
    return Compared(
        "compiled" if is_compiled else "native", "" if isinstance(found, Compiled) else found.why, seconds, faults
    )


def admitted(frame: pd.DataFrame, signature: Signature) -> Any:
    """Which rows a caller may send: without a sample a model that says nothing of missing values takes none."""
    whole = np.ones(len(frame), bool)
    for feature, name in zip(signature.inputs, frame, strict=True):
        if not feature.nullable:
            whole &= frame[name].notna().to_numpy()
    return whole


def differences(model: Trained, served: LoadedModel, signature: Signature, fresh: pd.DataFrame) -> list[str]:
    """How the answers of a model in service differ from the library's."""
    rows = [[None if pd.isna(value) else value for value in row] for row in fresh.astype(object).to_numpy().tolist()]
    try:
        ours = served.predict(rows)
        ours_alone = served.predict(rows[:1])
    except Exception as error:  # noqa: BLE001  # to be reported with the pipeline
        return [f"{type(error).__name__}: {str(error)[:200]}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        takes = model.takes(fresh)
        theirs = model.estimator.predict(takes)
        probabilities = model.estimator.predict_proba(takes) if hasattr(model.estimator, "predict_proba") else None
    faults = unlike(ours, theirs, probabilities, signature)
    alone = unlike(ours_alone, theirs[:1], None if probabilities is None else probabilities[:1], signature)
    return faults + [f"one row alone: {fault}" for fault in alone]


def unlike(ours: Outputs, theirs: Any, probabilities: Any, signature: Signature) -> list[str]:
    """Labels and numbers that are not the library's."""
    faults = []
    if signature.classes is not None:
        wrong = int((np.array(ours.predictions) != theirs).sum())
        faults += [f"{wrong} of {len(theirs)} labels wrong"] if wrong else []
    else:
        faults += far(ours.predictions, theirs, "numbers")
    if (probabilities is None) != (ours.probabilities is None):
        return [*faults, "probabilities on one side alone"]
    return faults + ([] if probabilities is None else far(ours.probabilities, probabilities, "probabilities"))


def far(ours: Any, theirs: Any, what: str) -> list[str]:
    """Numbers further apart than what is called equal."""
    ours, theirs = np.asarray(ours, float).ravel(), np.asarray(theirs, float).ravel()
    if ours.shape != theirs.shape:
        return [f"{what}: other shape"]
    # Numbers near zero of a model whose others are large are what large terms leave when they cancel out: not even the
    # library's own order of summing decides their last digits.
    apart = np.abs(ours - theirs) / np.maximum(np.maximum(1, np.abs(theirs)), CANCELLED * np.nanmax(np.abs(theirs)))
    wrong = ~((apart <= EQUAL) | (np.isnan(ours) & np.isnan(theirs)))
    return [f"{int(wrong.sum())} of {len(wrong)} {what} differ, by up to {np.nanmax(apart):.2g}"] if wrong.any() else []
