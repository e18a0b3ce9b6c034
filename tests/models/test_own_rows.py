"""A model's own sample goes the way of a request before the model is published."""

from typing import Any

import pytest

from ai_platform.errors import ArtifactRefused
from ai_platform.models.registry.manifest import Draft, Golden, Manifest
from ai_platform.models.validation.own_rows import require_admitted
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings

pytestmark = pytest.mark.quick

TEXT = Feature(name="note", type="string", example="a word")
COUNT = Feature(name="count", type="integer", example=1)
MAYBE = Feature(name="maybe", type="boolean", nullable=True)
SIZE = Feature(name="size", minimum=0.0, maximum=1.0, enforced=True, example=0.5)
INPUTS = (SIZE, TEXT, COUNT, MAYBE)


def refusal(row: list[Any], **limits: Any) -> str:
    signature = Signature(inputs=INPUTS)
    rows = [[0.5, "fine", 1, None], [0.5, "fine", 2, True], row]
    manifest = Manifest(
        model="m", format="onnx", sha256="00", size=1, signature=signature, libraries={}, metrics={},
        golden=Golden(rows[:1], [0.0]), created_at="",
    )  # fmt: skip
    try:
        require_admitted(
            manifest, Draft(model="m", format="onnx", inputs=INPUTS, rows=rows), LimitSettings.model_validate(limits)
        )
    except ArtifactRefused as error:
        return error.detail
    return ""


def test_rows_that_a_request_may_hold_are_admitted() -> None:
    assert refusal([0.0, "", -5, False]) == ""


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            [0.5, "x" * 2_000, 1, True],
            "column 'note', would be refused in a request: must be at most 1024 bytes",
        ),
        ([0.5, "x" * 2_000, 1, True], "leave such rows out of the sample or raise AI_PLATFORM_LIMITS__STRING_BYTES"),
        (
            [0.5, "a\x07bell", 1, True],
            "row 3 of the sample, column 'note', would be refused in a request: must not",
        ),
        ([0.5, "word", 2**60, True], "row 3 of the sample, column 'count', would be refused in a request"),
        (
            [2.0, "word", 1, True],
            "row 3 of the sample, column 'size', would be refused in a request: must be",
        ),
        ([1e200, "word", 1, True], "row 3 of the sample, column 'size'"),
    ],
)
def test_a_row_that_a_request_may_not_hold_is_refused_with_row_column_and_rule(row: list[Any], words: str) -> None:
    assert words in refusal(row, string_bytes=1_024)


@pytest.mark.parametrize("row", [[0.5, "x" * 2_000, 1, True]])
def test_the_setting_that_the_refusal_names_lets_the_sample_in(row: list[Any]) -> None:
    assert refusal(row, string_bytes=4_096) == ""


def test_a_row_that_is_larger_than_a_body_may_be_is_refused_with_the_setting() -> None:
    words = refusal([0.5, "x" * 2_000, 1, True], string_bytes=4_096, body_bytes=1_024)
    assert "raise AI_PLATFORM_LIMITS__BODY_BYTES" in words


def test_more_rows_than_a_request_may_have_are_sent_in_several() -> None:
    assert refusal([0.5, "word", 1, True], rows=1) == ""
    assert "row 3 of the sample, column 'note'" in refusal([0.5, "a\x00", 1, True], rows=1)
