"""One value has one meaning however JSON writes it, and one instance however its names are written."""

import json
from typing import Any

import pytest

from ai_platform.errors import InvalidInput
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings

pytestmark = pytest.mark.quick

LIMITS = LimitSettings()
FEATURES = {
    "member": Feature(name="member", type="boolean"),
    "perhaps": Feature(name="perhaps", type="boolean", nullable=True),
    "zero or one": Feature(name="zero or one", binary=True, nullable=True),
    "zero or one of whole numbers": Feature(name="zero or one of whole numbers", type="integer", binary=True),
    "rooms": Feature(name="rooms", type="integer"),
    "age": Feature(name="age"),
    "text": Feature(name="text", type="string"),
}


def decoded(sent: dict[str, Any] | list[Any], *inputs: Feature, **facts: Any) -> list[list[Any]]:
    body = {"instances": sent} if isinstance(sent, list) else {"features": sent}
    signature = Signature(inputs=inputs, **facts)
    return InstanceDecoder(signature, LIMITS).decode(json.dumps(body).encode()).rows


def faults(sent: dict[str, Any] | list[Any], *inputs: Feature, **facts: Any) -> list[str]:
    with pytest.raises(InvalidInput) as refusal:
        decoded(sent, *inputs, **facts)
    return [f"{fault.pointer} {fault.detail}" for fault in refusal.value.faults]


@pytest.mark.parametrize(
    ("name", "sent", "meant"),
    [
        ("member", [True, 1, 1.0], True),
        ("member", [False, 0, 0.0], False),
        ("perhaps", [True, 1, 1.0], True),
        ("perhaps", [None], None),
        ("zero or one", [True, 1, 1.0], 1.0),
        ("zero or one", [False, 0, 0.0, -0.0], 0.0),
        ("zero or one", [None], None),
        ("zero or one of whole numbers", [True, 1, 1.0], 1),
        ("rooms", [41, 41.0, 4.1e1], 41),
        ("age", [41, 41.0], 41.0),
        ("text", ["one\ntwo\r\n\tthree 🦩 é"], "one\ntwo\r\n\tthree 🦩 é"),
        ("text", ["x" * 60_000], "x" * 60_000),
    ],
)
def test_a_value_is_the_same_alone_and_in_a_batch(name: str, sent: list[Any], meant: Any) -> None:
    feature = FEATURES[name]
    for value in sent:
        [[alone]] = decoded({name: value}, feature)
        assert (alone, type(alone)) == (meant, type(meant))
    assert decoded([{name: value} for value in sent], feature) == [[meant]] * len(sent)
    assert decoded([[value] for value in sent], feature) == [[meant]] * len(sent)


@pytest.mark.parametrize(
    ("name", "sent", "fault"),
    [
        ("member", 2, "must be true or false, or 1 or 0"),
        ("member", "true", "must be true or false, or 1 or 0"),
        ("rooms", 41.5, "must be an integer"),
        ("rooms", True, "must be an integer"),
        ("age", True, "must be a number"),
        ("age", "1", "must be a number"),
        ("text", "a\x01", "must not hold control characters other than tabs and line breaks"),
        ("text", "x" * 70_000, "must be at most 65536 bytes long (AI_PLATFORM_LIMITS__STRING_BYTES)"),
    ],
)
def test_what_has_no_such_meaning_is_refused(name: str, sent: Any, fault: str) -> None:
    assert faults({name: sent}, FEATURES[name])[0].startswith(f"/features/{name} {fault}")


def test_columns_that_training_had_are_taken_and_not_read() -> None:
    sent = {"age": 1, "id": "c7", "left": {"any": ["thing"]}}
    assert decoded(sent, FEATURES["age"], ignored=("id", "left")) == [[1.0]]
    assert decoded([{"age": 1}, sent], FEATURES["age"], ignored=("id", "left")) == [[1.0], [1.0]]


def test_a_stranger_is_refused_unless_the_publisher_said_that_it_is_ignored() -> None:
    sent = {"age": 1, "note": "x"}
    assert faults(sent, FEATURES["age"], ignored=("id",)) == ["/features/note unknown feature"]
    assert decoded(sent, FEATURES["age"], extra="ignore") == [[1.0]]
    assert faults({"aeg": 1}, FEATURES["age"], extra="ignore") == ["/features/age is missing"]


def test_names_that_a_library_has_changed_are_taken_in_both_spellings() -> None:
    radius = Feature(name="mean radius")
    for name in ("mean radius", "mean_radius"):
        assert decoded({name: 1}, radius, respelt=True) == [[1.0]]
    assert faults({"mean_radius": 1}, radius)[0] == "/features/mean_radius unknown feature"
    assert faults({"mean radius": 1, "mean_radius": 2}, radius, respelt=True) == [
        "/features/mean_radius is the same feature as mean radius, given twice"
    ]


def test_a_spelling_that_two_names_share_is_neither_of_them() -> None:
    found = faults({"a b": 1, "a<b": 1, "a_b": 1}, Feature(name="a b"), Feature(name="a<b"), respelt=True)
    assert found == ["/features/a_b unknown feature"]
