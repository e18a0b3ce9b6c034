"""Ids sort by time and keep the form of UUID version 7."""

import os
import uuid

import pytest

from ai_platform.predictions.ids import new_id, new_text

pytestmark = pytest.mark.quick


def test_ids_are_uuids_of_version_7() -> None:
    made = new_id()
    assert made.version == 7
    assert made.variant == uuid.RFC_4122


def test_ids_are_unique_and_later_ones_never_sort_before_an_earlier_millisecond() -> None:
    made = [new_id() for _ in range(2_000)]
    assert len(set(made)) == len(made)
    milliseconds = [value.int >> 80 for value in made]
    assert milliseconds == sorted(milliseconds)


def test_a_written_id_is_an_id_of_the_same_form() -> None:
    texts = [new_text() for _ in range(2_000)]
    ids = [uuid.UUID(text) for text in texts]
    assert [str(made) for made in ids] == texts
    assert {(made.version, made.variant) for made in ids} == {(7, uuid.RFC_4122)}
    assert len({made.int & ((1 << 74) - 1) for made in ids}) == len(ids)


def test_a_process_that_was_forked_makes_other_ids() -> None:
    new_id()  # bits are in store
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"".join(new_id().bytes[8:] for _ in range(50)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 4_096)
    os.close(reader)
    os.close(writer)
    ours = {new_id().bytes[8:] for _ in range(50)}
    assert len(theirs) == 400
    assert ours.isdisjoint(theirs[start : start + 8] for start in range(0, 400, 8))
