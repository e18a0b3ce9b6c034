"""Rows to try a model with."""

import pytest

from ai_platform.errors import ArtifactRefused
from ai_platform.models.validation.sample_rows import in_signature_order, synthetic_row
from ai_platform.runtimes.base.signature import Feature, Signature

pytestmark = pytest.mark.quick

MODEL = Signature(
    inputs=(
        Feature(name="age", minimum=10.0, maximum=30.0),
        Feature(name="city", type="string", nullable=True, categories=("Bern", "Ulm")),
    )
)


def test_columns_of_a_sample_come_into_the_models_order_and_others_are_left_out() -> None:
    columns = [Feature(name="target"), Feature(name="city", type="string"), Feature(name="age")]
    assert in_signature_order(columns, [[1, "Ulm", 5], [0, None, 7.5]], MODEL) == [[5.0, "Ulm"], [7.5, None]]


def test_columns_with_other_names_are_taken_in_their_order_when_they_are_as_many() -> None:
    assert in_signature_order([Feature(name="a"), Feature(name="b")], [[1.0, "x"]], MODEL) == [[1.0, "x"]]


def test_a_sample_without_an_input_of_the_model_is_refused_by_its_name() -> None:
    with pytest.raises(ArtifactRefused, match="no column 'city'"):
        in_signature_order([Feature(name="age")], [[1.0]], MODEL)


def test_rows_that_lack_what_the_model_needs_are_left_out() -> None:
    assert in_signature_order(MODEL.inputs, [[None, "Ulm"], [1.0, "Ulm"]], MODEL) == [[1.0, "Ulm"]]


def test_a_row_is_made_up_from_what_the_signature_says() -> None:
    assert synthetic_row(MODEL) == [20.0, "Bern"]
    other = Signature(
        inputs=(
            Feature(name="a", example=3.5),
            Feature(name="b", type="integer"),
            Feature(name="c", type="boolean"),
            Feature(name="d", type="string"),
        )
    )
    assert synthetic_row(other) == [3.5, 0, False, ""]
