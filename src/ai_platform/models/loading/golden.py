"""Golden rows: inputs with known outputs, by which a loaded model shows that it is the one that was described."""

import math
from collections.abc import Iterator
from typing import Any

from ai_platform.errors import ArtifactRefused
from ai_platform.models.registry.manifest import Golden, Manifest
from ai_platform.runtimes.base.runtime import LoadedModel, Outputs

# The same numbers computed on another machine, or more at a time, differ in last bits.
NATIVE_TOLERANCE = 1e-6
# What a compiled form is held to; its labels may differ where the two most probable classes are this close.
COMPILED_TOLERANCE = 1e-5


def record(outputs: Outputs, rows: list[list[Any]]) -> Golden:
    """What a model gave for these rows, as it goes into a manifest."""
    probabilities: list[list[float | None]] | None = None
    if outputs.probabilities is not None:
        probabilities = [list(row) for row in outputs.probabilities]
    return Golden(rows, outputs.predictions, probabilities)


def check(loaded: LoadedModel, manifest: Manifest, tolerance: float = NATIVE_TOLERANCE) -> None:
    """Predict the golden rows of a manifest, and compare.

    Args:
        loaded: the model.
        manifest: with the golden rows.
        tolerance: largest difference of numbers, absolute below 1 and relative above.

    Raises:
        ArtifactRefused: labels or numbers differ, or there are no golden rows.
    """
    golden = manifest.golden
    if not golden.rows:
        raise ArtifactRefused(f"the manifest of {manifest.model} has no golden rows to check the model by")
    outputs = loaded.predict(golden.rows)
    if not agree(outputs, golden, classifies=manifest.signature.classes is not None, tolerance=tolerance):
        raise ArtifactRefused(f"{manifest.model} does not reproduce the golden outputs of its manifest")


def agree(outputs: Outputs, golden: Golden | Outputs, *, classifies: bool, tolerance: float) -> bool:
    """Whether two calls gave the same for the same rows.

    Args:
        outputs: of one call.
        golden: of the other.
        classifies: whether the model is a classifier with one output.
        tolerance: largest difference of numbers, absolute below 1 and relative above.
    """
    if len(outputs.predictions) != len(golden.predictions):
        return False
    if (outputs.probabilities is None) != (golden.probabilities is None):
        return False
    if outputs.probabilities is not None and not _close(outputs.probabilities, golden.probabilities, tolerance):
        return False
    if not classifies:
        return _close(outputs.predictions, golden.predictions, tolerance)
    return all(
        ours == theirs or _is_a_tie(golden, row, tolerance)
        for row, (ours, theirs) in enumerate(zip(outputs.predictions, golden.predictions, strict=True))
    )


def _is_a_tie(golden: Golden | Outputs, row: int, tolerance: float) -> bool:
    if golden.probabilities is None or tolerance <= NATIVE_TOLERANCE:
        return False
    given = [value for value in golden.probabilities[row] if value is not None and math.isfinite(value)]
    if len(given) != len(golden.probabilities[row]):
        return False
    first, second = sorted(given, reverse=True)[:2]
    return first - second <= tolerance


def _close(ours: Any, theirs: Any, tolerance: float) -> bool:
    return all(_same(one, other, tolerance) for one, other in _pairs(ours, theirs))


def _pairs(ours: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from _pairs(one, other)
    else:
        yield ours, theirs


def _same(ours: Any, theirs: Any, tolerance: float) -> bool:
    if not isinstance(theirs, int | float) or not isinstance(ours, int | float):
        # A manifest is JSON, which writes NaN and the infinities as null.
        return ours == theirs or (theirs is None and isinstance(ours, float) and not math.isfinite(ours))
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        return ours == theirs or (math.isnan(ours) and math.isnan(theirs))
    return abs(ours - theirs) <= tolerance * max(1.0, abs(theirs))
