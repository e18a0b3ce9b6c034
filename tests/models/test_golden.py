"""Whether a loaded model is the one that was described."""

from typing import Any

import pytest

from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.golden import COMPILED_TOLERANCE, NATIVE_TOLERANCE, check
from ai_platform.models.registry.manifest import Golden, Manifest
from ai_platform.runtimes.base.runtime import Outputs, Rows
from ai_platform.runtimes.base.signature import Feature, Signature

pytestmark = pytest.mark.quick


class Answering:
    """A model that gives the same whatever it is asked."""

    def __init__(self, predictions: list[Any], probabilities: list[list[float]] | None = None) -> None:
        self._outputs = Outputs(predictions, None, probabilities)

    def predict(self, rows: Rows) -> Outputs:
        del rows
        return self._outputs


def described(
    predictions: list[Any],
    probabilities: Any = None,
    classes: tuple[str, ...] | None = None,
) -> Manifest:
    return Manifest(
        model="m",
        format="f",
        sha256="00",
        size=1,
        signature=Signature(inputs=(Feature(name="x"),), classes=classes),
        libraries={},
        metrics={},
        golden=Golden([[0.0]] * len(predictions), predictions, probabilities),
        created_at="",
    )


def agrees(model: Answering, manifest: Manifest, tolerance: float = NATIVE_TOLERANCE) -> bool:
    try:
        check(model, manifest, tolerance)
    except ArtifactRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ([1.0], [1.0], True),
        ([1.0 + 5e-7], [1.0], True),
        ([1.001], [1.0], False),
        ([1e9 + 100], [1e9], True),
        ([1.0, 2.0], [1.0], False),
        ([[1.0, 2.0]], [[1.0, 2.0]], True),
        ([[1.0, 2.5]], [[1.0, 2.0]], False),
        ([[1.0]], [[1.0, 2.0]], False),
        ([float("nan")], [None], True),
        ([float("nan")], [1.0], False),
        (["a"], ["b"], False),
    ],
)
def test_predicted_numbers(ours: list[Any], theirs: list[Any], same: bool) -> None:
    assert agrees(Answering(ours), described(theirs)) is same


def test_a_label_must_be_the_same_unless_two_classes_are_as_likely_and_the_form_was_compiled() -> None:
    tie, clear = [[0.500001, 0.499999]], [[0.6, 0.4]]
    classes = ("a", "b")
    assert not agrees(Answering([1], clear), described([0], clear, classes), COMPILED_TOLERANCE)
    assert not agrees(Answering([1], tie), described([0], tie, classes), NATIVE_TOLERANCE)
    assert agrees(Answering([1], tie), described([0], tie, classes), COMPILED_TOLERANCE)


def test_probabilities_must_be_there_when_they_were() -> None:
    assert not agrees(Answering(["a"], None), described(["a"], [[1.0, 0.0]], ("a", "b")))
    assert not agrees(Answering(["a"], [[0.9, 0.1]]), described(["a"], [[1.0, 0.0]], ("a", "b")))


def test_a_manifest_without_golden_rows_proves_nothing() -> None:
    with pytest.raises(ArtifactRefused, match="no golden rows"):
        check(Answering([]), described([]))
