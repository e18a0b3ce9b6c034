"""Ids sort by time and keep the form of UUID version 7."""

import uuid

from ai_platform.predictions.identity import new_id


def test_ids_are_uuids_of_version_7() -> None:
    made = new_id()
    assert made.version == 7
    assert made.variant == uuid.RFC_4122


def test_ids_are_unique_and_later_ones_never_sort_before_an_earlier_millisecond() -> None:
    made = [new_id() for _ in range(2_000)]
    assert len(set(made)) == len(made)
    milliseconds = [value.int >> 80 for value in made]
    assert milliseconds == sorted(milliseconds)
