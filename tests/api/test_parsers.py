"""Each parser of what callers send, with anything at all: it reads, or refuses with a fact, and nothing else."""

import asyncio
import json
import re
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ai_platform.api.http.body import read_json_body
from ai_platform.api.http.hosts import Hosts
from ai_platform.api.http.parameters import seconds_of
from ai_platform.api.http.request_head import Headers, RequestHead
from ai_platform.api.prediction.paths import _PATH, PredictionPaths
from ai_platform.api.prediction.submission import idempotency_key_of, preference_of
from ai_platform.errors import (
    ArtifactRefused,
    BodyTooLarge,
    InvalidCursor,
    InvalidHeader,
    InvalidJson,
    InvalidParameter,
    UnknownHost,
    UnsupportedMediaType,
)
from ai_platform.inputs.strict_json import MAX_DEPTH, loads
from ai_platform.jobs.pages import cursor_of, position_of
from ai_platform.models.registry import manifest
from ai_platform.settings import Settings

pytestmark = pytest.mark.quick

SETTINGS = Settings()

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(['"', "\\", ":", "[{", "a"])
documents = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_any_document_is_read_as_the_standard_library_reads_it(document: Any, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert loads(body) == json.loads(body)


@given(st.lists(st.tuples(texts, documents), max_size=6), st.integers(0, 3))
def test_a_key_that_stands_twice_is_found_whatever_surrounds_it(pairs: list[tuple[str, Any]], depth: int) -> None:
    written = "{" + ",".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs) + "}"
    body = ("[" * depth + written + "]" * depth).encode()
    if len({key for key, _ in pairs}) == len(pairs):
        assert loads(body) == json.loads(body)
    else:
        with pytest.raises(InvalidJson, match="same key twice"):
            loads(body)


@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 5_000 + b"1" + b"}" * 5_000)
@example(b'"\\')
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        found = loads(body)
    except InvalidJson:
        return
    assert found == json.loads(body)


@given(st.integers(1, 3 * MAX_DEPTH))
def test_depth_is_counted_exactly(depth: int) -> None:
    body = b"[" * depth + b'"[[[]"' + b"]" * depth
    if depth <= MAX_DEPTH:
        assert loads(body) is not None
    else:
        with pytest.raises(InvalidJson, match="nested"):
            loads(body)


def test_brackets_in_a_text_are_no_lists() -> None:
    assert loads(json.dumps(["[" * 20_000]).encode()) == ["[" * 20_000]
    with pytest.raises(InvalidJson, match="more than 8 lists"):
        loads(b"[" + b"[]," * 8 + b"1]", max_containers=8)


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_any_idempotency_key_is_taken_whole_or_refused(values: list[bytes]) -> None:
    try:
        key = idempotency_key_of(_head([(b"idempotency-key", value) for value in values]))
    except InvalidHeader:
        return
    if key is None:
        assert values == []
    else:
        assert re.fullmatch(r"[!-~]{8,255}", key)
        assert key.encode() in values[0]


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"respond-async, wait=5", b"wait=99999999"]), max_size=3))
def test_any_preference_is_read_or_ignored(values: list[bytes]) -> None:
    preference = preference_of(_head([(b"prefer", value) for value in values]))
    assert 0 <= preference.wait < 100_000


@given(st.text(max_size=60))
def test_any_cursor_is_ours_or_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        position_of(cursor)


@given(st.uuids(), st.integers(0, 26), st.text("abcXYZ09-_=", min_size=1, max_size=1))
def test_a_cursor_with_one_character_changed_is_refused(job: uuid.UUID, place: int, other: str) -> None:
    cursor = cursor_of(job)
    assert position_of(cursor) == job
    changed = cursor[:place] + other + cursor[place + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidCursor):
            position_of(changed)


@given(st.text(max_size=30) | st.floats().map(str) | st.sampled_from(["1_0", " 5", "\u0665", "1e999", "-0", "0x10"]))
def test_any_number_of_seconds_is_within_its_bounds_or_refused(text: str) -> None:
    try:
        seconds = seconds_of("wait", [text], 30)
    except InvalidParameter:
        return
    assert seconds is not None
    assert 0 <= seconds <= 30
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", text)


@given(st.text(max_size=80) | st.from_regex(_PATH, fullmatch=True))
def test_any_path_of_a_prediction_names_a_model_and_a_version_or_is_refused(path: str) -> None:
    try:
        found = PredictionPaths("iris").find(path.encode("utf-8", "surrogatepass"), path)
    except InvalidParameter:
        return
    assert (found is None) == (_PATH.fullmatch(path) is None)
    if found is not None:
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", found.target.model)
        assert found.target.version is None or found.target.version > 0


@given(st.binary(max_size=60) | st.sampled_from([b"localhost:99999", b"[::1", b"LOCALHOST", b"localhost@evil.example"]))
def test_any_host_is_one_of_ours_or_refused(host: bytes) -> None:
    try:
        Hosts(SETTINGS.api.allowed_hosts).check([host])
    except UnknownHost:
        return
    assert re.fullmatch(rb"(?i)(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{0,5})?", host), host


@given(
    st.lists(
        st.tuples(st.sampled_from([b"content-type", b"content-encoding", b"content-length"]), st.binary(max_size=40))
    )
)
def test_any_headers_of_a_body_are_json_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    try:
        assert asyncio.run(read_json_body({"headers": headers}, receive, SETTINGS.limits.body_bytes)) == b"{}"
    except (UnsupportedMediaType, BodyTooLarge):
        return
    assert b"application/json" in b" ".join(value.lower() for name, value in headers if name == b"content-type")


@given(st.binary(max_size=300) | documents.map(lambda document: json.dumps(document).encode()))
def test_any_manifest_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(ArtifactRefused):
        manifest.decode(body)


def _head(headers: Headers) -> RequestHead:
    return RequestHead("POST", "/predict/", b"/predict/", b"", headers)
