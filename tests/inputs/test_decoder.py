"""The typed decoder against the careful reference: they admit the same bodies and read the same instances."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_platform.errors import InvalidInput, InvalidJson
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.inputs.instances import Instances
from ai_platform.inputs.strict_json import loads
from ai_platform.inputs.validation import LARGEST_NUMBER, validate
from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings

pytestmark = pytest.mark.quick

NAMES = ("length", "width", "größe")
LIMITS = LimitSettings(rows=8)
SIGNATURE = Signature(inputs=tuple(Feature(name=name) for name in NAMES))
DECODER = InstanceDecoder(SIGNATURE, LIMITS)
# The same with two columns in which training had missing values.
GAPPY = Signature(inputs=tuple(Feature(name=name, nullable=name != "width") for name in NAMES))
GAPPY_DECODER = InstanceDecoder(GAPPY, LIMITS)

# Of numbers and texts, some of which may be missing.
WORDED = Signature(inputs=(
    Feature(name="length"), Feature(name="city", type="string"), Feature(name="plan", type="string", nullable=True),
    Feature(name="größe", nullable=True),
))  # fmt: skip
WORDED_DECODER = InstanceDecoder(WORDED, LIMITS)

numbers = st.integers(-(2**60), 2**60) | st.floats(-LARGEST_NUMBER, LARGEST_NUMBER)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.sampled_from(NAMES), inner),
    max_leaves=8,
)
rows = st.lists(numbers, min_size=3, max_size=3) | st.fixed_dictionaries(dict.fromkeys(NAMES, numbers))
good = st.fixed_dictionaries({"features": rows}) | st.fixed_dictionaries(
    {"instances": st.lists(rows, min_size=1, max_size=8)}
)
nearly = st.fixed_dictionaries({"features": rows | anything}) | st.fixed_dictionaries(
    {"instances": st.lists(rows | anything, max_size=10)}
)


def read(decode: Any, body: bytes) -> Instances | tuple[type, Any]:
    try:
        found: Instances = decode(body)
    except InvalidJson as error:
        return type(error), error.detail
    except InvalidInput as error:
        return type(error), error.faults
    return found


def carefully(body: bytes, signature: Signature = SIGNATURE) -> Instances:
    return validate(loads(body), signature, LIMITS)


@given(good)
def test_a_good_body_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    found = DECODER.decode(json.dumps(document).encode())
    given_rows = [document["features"]] if "features" in document else document["instances"]
    in_order = [row if isinstance(row, list) else [row[name] for name in NAMES] for row in given_rows]
    expected: list[list[Value]] = [[float(value) for value in row] for row in in_order]
    assert found == Instances(expected, "features" in document)


@pytest.mark.parametrize("number", [LARGEST_NUMBER, 1.01 * LARGEST_NUMBER, 1e308, 10**40, 10**101])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_beyond_the_largest_is_refused_both_ways(number: float, sign: int) -> None:
    body = json.dumps({"features": [1, sign * number, 3]}).encode()
    found = read(DECODER.decode, body)
    assert found == read(carefully, body)
    assert isinstance(found, Instances) == (number <= LARGEST_NUMBER)


@given(good | nearly | anything)
def test_the_fast_way_and_the_careful_way_agree_on_any_document(document: Any) -> None:
    body = json.dumps(document).encode()
    assert read(DECODER.decode, body) == read(carefully, body)


values = numbers | st.none()
gappy_rows = st.lists(values, min_size=2, max_size=4) | st.dictionaries(st.sampled_from([*NAMES, "other"]), values)


@given(st.lists(gappy_rows, max_size=4))
def test_the_fast_way_and_the_careful_way_agree_on_missing_values(given_rows: list[Any]) -> None:
    body = json.dumps({"instances": given_rows}).encode()
    assert read(GAPPY_DECODER.decode, body) == read(lambda given: carefully(given, GAPPY), body)


def test_missing_values_are_read_the_fast_way_where_training_had_them() -> None:
    assert GAPPY_DECODER._decoder is not None
    body = b'{"instances": [[null, 1, 2], {"width": 1, "length": 3, "gr\xc3\xb6\xc3\x9fe": null}, {"width": 1}]}'
    assert GAPPY_DECODER.decode(body).rows == [[None, 1, 2], [3, 1, None], [None, 1, None]]


def test_two_equal_keys_do_not_hide_behind_one_that_is_left_out() -> None:
    with pytest.raises(InvalidJson, match="same key twice"):
        GAPPY_DECODER.decode(b'{"features": {"width": 2, "width": 2, "length": 1}}')


texts = st.text(max_size=6) | st.sampled_from(
    ['"', '\\"', "Oslo", "São Paulo", "a\nb", "\x00", "é" * 9, "city", "\ufeff"]
)
mixed_values = numbers | texts | st.none() | st.booleans()
mixed_row = st.fixed_dictionaries({
    "length": numbers, "city": texts, "plan": texts | st.none(), "größe": numbers | st.none(),
})  # fmt: skip
mixed_rows = (
    mixed_row
    | mixed_row.map(lambda row: list(row.values()))
    | st.lists(mixed_values, min_size=3, max_size=5)
    | st.dictionaries(st.sampled_from(["length", "city", "plan", "größe", "other"]), mixed_values)
)
mixed_bodies = st.lists(mixed_rows, max_size=4).map(lambda rows: {"instances": rows}) | mixed_rows.map(
    lambda row: {"features": row}
)


@given(mixed_bodies, st.booleans())
def test_the_fast_way_and_the_careful_way_agree_on_texts(document: Any, escapes: bool) -> None:
    body = json.dumps(document, ensure_ascii=escapes).encode("utf-8", "surrogatepass")
    assert read(WORDED_DECODER.decode, body) == read(lambda given: carefully(given, WORDED), body)


@given(mixed_bodies, st.integers(0, 200), st.binary(max_size=3))
def test_the_two_ways_agree_on_damaged_bytes_with_texts(document: Any, place: int, damage: bytes) -> None:
    body = bytearray(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    body[place % len(body) : place % len(body) + len(damage)] = damage
    assert read(WORDED_DECODER.decode, bytes(body)) == read(lambda given: carefully(given, WORDED), bytes(body))


def test_texts_are_read_the_fast_way() -> None:
    named = {"größe": 2, "plan": None, "city": "São Paulo", "length": 1}
    body = json.dumps({"instances": [[1, "Oslo", "pro", None], named]}, ensure_ascii=False).encode()
    found = WORDED_DECODER.at_once(body)
    assert found is not None
    assert found.rows == [[1.0, "Oslo", "pro", None], [1.0, "São Paulo", None, 2.0]]


@pytest.mark.parametrize(
    "body",
    [b'{"features": {"length": 1, "city": "a", "city": "b", "plan": null, "gr\xc3\xb6\xc3\x9fe": 1}}',
     b'{"features": {"length": 1, "city": "a", "plan": "b", "pl\\u0061n": "c", "gr\xc3\xb6\xc3\x9fe": 1}}',
     b'{"features": {"length": 1, "city": "\\u0022", "plan": "b", "plan": null, "gr\xc3\xb6\xc3\x9fe": 1}}'],
)  # fmt: skip
def test_equal_keys_do_not_hide_behind_texts(body: bytes) -> None:
    assert WORDED_DECODER.at_once(body) is None
    with pytest.raises(InvalidJson, match="same key twice"):
        WORDED_DECODER.decode(body)


@given(good, st.integers(0, 200), st.binary(max_size=3))
def test_the_fast_way_and_the_careful_way_agree_on_damaged_bytes(document: Any, place: int, damage: bytes) -> None:
    body = bytearray(json.dumps(document).encode())
    body[place % len(body) : place % len(body) + len(damage)] = damage
    assert read(DECODER.decode, bytes(body)) == read(carefully, bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [1, 2, 3], "features": [1, 2, 3]}',
        b'{"features": {"length": 1, "length": 1, "width": 2, "gr\xc3\xb6\xc3\x9fe": 3}}',
        b'{"instances": [[1, 2, 3]], "instances": [[1, 2, 3]]}',
        b'{"instances": [{"width": 2, "width": 2, "length": 1, "gr\xc3\xb6\xc3\x9fe": 3}]}',
    ],
)
def test_duplicate_keys_are_refused_wherever_they_stand(body: bytes) -> None:
    with pytest.raises(InvalidJson, match="same key twice"):
        DECODER.decode(body)


def test_an_instance_by_name_may_come_in_any_order() -> None:
    found = DECODER.decode(b'{"features": {"width": 2, "gr\xc3\xb6\xc3\x9fe": 3, "length": 1}}')
    assert found.rows == [[1, 2, 3]]


def test_a_name_that_json_must_escape_is_read_too() -> None:
    decoder = InstanceDecoder(Signature(inputs=(Feature(name='odd "name"'),)), LIMITS)
    assert decoder.decode(b'{"features": {"odd \\"name\\"": 3}}').rows == [[3]]


def test_faults_are_named_by_row_and_feature() -> None:
    body = {"instances": [[1, 2, 3], {"length": 1, "width": "x", "größe": 2}]}
    with pytest.raises(InvalidInput) as refusal:
        DECODER.decode(json.dumps(body).encode())
    assert [(fault.pointer, fault.detail) for fault in refusal.value.faults] == [
        ("/instances/1/width", "must be a number")
    ]


def test_no_fault_repeats_what_was_sent() -> None:
    with pytest.raises(InvalidInput) as refusal:
        DECODER.decode(b'{"features": [1, 2, "a secret of the caller"]}')
    assert "secret" not in str(refusal.value.faults)


def test_at_most_twenty_faults_are_told() -> None:
    decoder = InstanceDecoder(SIGNATURE, LimitSettings(rows=100))
    with pytest.raises(InvalidInput) as refusal:
        decoder.decode(json.dumps({"instances": [["x", "y", "z"]] * 50}).encode())
    assert len(refusal.value.faults) == 20


MIXED = Signature(
    inputs=(
        Feature(name="age", type="integer", minimum=0, maximum=120, enforced=True),
        Feature(name="city", type="string", nullable=True, categories=("Paris", "Rome")),
        Feature(name="member", type="boolean"),
    )
)


@pytest.mark.parametrize(
    ("instance", "fault"),
    [
        ([30, "Rome", True], None),
        ([30, None, False], None),
        ([30, "a city that training never saw", False], None),
        ({"member": True, "city": None, "age": 30}, None),
        ({"age": 30, "member": True}, None),
        ([30.5, "Rome", True], "/features/0 must be an integer of at most 2^53"),
        ([121, "Rome", True], "/features/0 must be at most 120"),
        ([-1, "Rome", True], "/features/0 must be at least 0"),
        ([30, 5, True], "/features/1 must be a string"),
        ([30, "x" * 65537, True], "/features/1 must be at most 65536 bytes long (AI_PLATFORM_LIMITS__STRING_BYTES)"),
        ([30, "a\x00b", True], "/features/1 must not hold control characters other than tabs and line breaks"),
        ([30, "Rome", 2], "/features/2 must be true or false, or 1 or 0"),
        ([30, "Rome", None], "/features/2 must be a boolean, not null"),
        ([None, "Rome", True], "/features/0 must be an integer, not null"),
        ({"age": 30}, "/features/member is missing"),
    ],
)
def test_types_nulls_and_declared_ranges_are_checked(instance: Any, fault: str | None) -> None:
    decoder = InstanceDecoder(MIXED, LimitSettings())
    body = json.dumps({"features": instance}).encode()
    if fault is None:
        assert len(decoder.decode(body).rows[0]) == 3
    else:
        with pytest.raises(InvalidInput) as refusal:
            decoder.decode(body)
        assert [f"{found.pointer} {found.detail}" for found in refusal.value.faults] == [fault]


def test_instances_of_mixed_types_come_in_any_order_of_names_and_leave_as_the_signature_has_them() -> None:
    decoder = InstanceDecoder(MIXED, LimitSettings())
    body = {"instances": [{"member": True, "city": "Rome", "age": 30}, {"age": 5, "member": False}, [7, None, True]]}
    assert decoder.decode(json.dumps(body).encode()).rows == [[30, "Rome", True], [5, None, False], [7, None, True]]


def test_a_fault_in_the_thirty_eighth_row_is_named_by_row_and_field() -> None:
    inputs = (*(Feature(name=f"petal_{side}") for side in ("length", "width")), Feature(name="kind", type="string"))
    decoder = InstanceDecoder(Signature(inputs=inputs), LimitSettings())
    rows: list[Any] = [{"petal_length": 1.4, "petal_width": 0.2, "kind": "wild"}] * 50
    rows[37] = {"petal_width": "wide", "petal_length": 1.4, "kind": 5}
    with pytest.raises(InvalidInput) as refusal:
        decoder.decode(json.dumps({"instances": rows}).encode())
    assert [f"{fault.pointer}: {fault.detail}" for fault in refusal.value.faults] == [
        "/instances/37/petal_width: must be a number",
        "/instances/37/kind: must be a string",
    ]
