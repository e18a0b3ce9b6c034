"""Every bad input gets a clear 4xx with problem details, over a real socket and through each prediction endpoint."""

import json
import socket
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from harness import SAMPLE, Platform

LATER = {"Prefer": "respond-async"}
# A request with it is not answered where it is read, but goes through the application.
SLOW_PATH = {"Origin": "https://elsewhere.example"}


@dataclass(frozen=True)
class Endpoint:
    """A way in for a prediction."""

    path: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def later(self) -> bool:
        return "Prefer" in self.headers or self.path.rstrip("/").endswith("async")


MODELS = ("", "/models/iris", "/models/iris/aliases/production", "/models/iris/versions/1")
PATHS = [f"{model}/predict{later}{slash}" for model in MODELS for later in ("", "/async") for slash in ("", "/")]
ENDPOINTS = [Endpoint(path) for path in PATHS]
ENDPOINTS += [Endpoint(path, headers) for path in PATHS if "async" not in path for headers in (LATER, SLOW_PATH)]
ASYNCHRONOUS = [endpoint for endpoint in ENDPOINTS if endpoint.later]
GOOD = json.dumps(SAMPLE).encode()


@dataclass(frozen=True)
class Bad:
    """A bad request: what is sent, which statuses are right, and which code."""

    name: str
    status: int
    code: str
    body: bytes = GOOD
    headers: dict[str, str] = field(default_factory=dict)
    pointer: str | None = None


def deep(levels: int) -> bytes:
    return b'{"features":' + b"[" * levels + b"]" * levels + b"}"


MALFORMED = [
    Bad("empty body", 400, "invalid_json", b""),
    Bad("blanks alone", 400, "invalid_json", b"  \n "),
    Bad("truncated", 400, "invalid_json", b'{"features": [5.1, 3.5'),
    Bad("trailing comma", 400, "invalid_json", b'{"features": [5.1, 3.5, 1.4, 0.2,]}'),
    Bad("two documents", 400, "invalid_json", GOOD + GOOD),
    Bad("byte order mark", 400, "invalid_json", b"\xef\xbb\xbf" + GOOD),
    Bad("UTF-16", 400, "invalid_json", json.dumps(SAMPLE).encode("utf-16")),
    Bad("invalid UTF-8", 400, "invalid_json", b'{"features": [1, 2, 3, "\xff"]}'),
    Bad("NaN", 400, "invalid_json", b'{"features": [NaN, 3.5, 1.4, 0.2]}'),
    Bad("Infinity", 400, "invalid_json", b'{"features": [Infinity, 3.5, 1.4, 0.2]}'),
    Bad("-Infinity", 400, "invalid_json", b'{"features": [-Infinity, 3.5, 1.4, 0.2]}'),
    Bad("1e400", 400, "invalid_json", b'{"features": [1e400, 3.5, 1.4, 0.2]}'),
    Bad("integer of 400 digits", 400, "invalid_json", b'{"features": [' + b"9" * 400 + b", 3.5, 1.4, 0.2]}"),
    Bad("integer of 5,000 digits", 400, "invalid_json", b'{"features": [' + b"9" * 5000 + b", 3.5, 1.4, 0.2]}"),
    Bad("depth 100,000", 400, "invalid_json", deep(100_000)),
    Bad("depth 40", 400, "invalid_json", deep(40)),
    Bad("duplicate keys", 400, "invalid_json", b'{"features": [1, 2, 3, 4], "features": [1, 2, 3, 4]}'),
    Bad("a duplicate key deeper down", 400, "invalid_json", b'{"features": {"petal_width": 1, "petal_width": 1}}'),
    Bad("lone surrogate", 400, "invalid_json", b'{"features": [1, 2, 3, "\\ud800"]}'),
]  # fmt: skip
WRONG = [
    Bad("top-level array", 422, "invalid_input", b"[5.1, 3.5, 1.4, 0.2]", pointer=""),
    Bad("top-level string", 422, "invalid_input", b'"iris"', pointer=""),
    Bad("top-level null", 422, "invalid_input", b"null", pointer=""),
    Bad("nothing in it", 422, "invalid_input", b"{}", pointer=""),
    Bad("both forms", 422, "invalid_input", b'{"features": [1, 2, 3, 4], "instances": [[1, 2, 3, 4]]}', pointer=""),
    Bad("unknown field", 422, "invalid_input", b'{"features": [1, 2, 3, 4], "other": 1}', pointer="/other"),
    Bad("90,000 keys", 422, "invalid_input",
        b'{"features": {%s}}' % b",".join(b'"%d":1' % n for n in range(90_000))),
    Bad("NUL in a string", 422, "invalid_input", b'{"features": [1, 2, 3, "\\u0000"]}', pointer="/features/3"),
    Bad("NUL in a key", 422, "invalid_input", b'{"features": [1, 2, 3, 4], "a\\u0000": 1}', pointer="/a?"),
    Bad("missing feature", 422, "invalid_input",
        b'{"features": {"sepal_length": 1, "sepal_width": 2, "petal_length": 3}}', pointer="/features/petal_width"),
    Bad("unknown feature", 422, "invalid_input",
        b'{"features": {"sepal_length": 1, "sepal_width": 2, "petal_length": 3, "petal_width": 4, "colour": 5}}',
        pointer="/features/colour"),
    Bad("too few values", 422, "invalid_input", b'{"features": [1, 2, 3]}', pointer="/features"),
    Bad("too many values", 422, "invalid_input", b'{"features": [1, 2, 3, 4, 5]}', pointer="/features"),
    Bad("ragged rows", 422, "invalid_input", b'{"instances": [[1, 2, 3, 4], [1, 2, 3]]}', pointer="/instances/1"),
    Bad("no rows", 422, "invalid_input", b'{"instances": []}', pointer="/instances"),
    Bad("too many rows", 422, "invalid_input", json.dumps({"instances": [[1, 2, 3, 4]] * 1025}).encode(),
        pointer="/instances"),
    Bad("instances not a list", 422, "invalid_input", b'{"instances": {"0": [1, 2, 3, 4]}}', pointer="/instances"),
    Bad("string for number", 422, "invalid_input", b'{"features": ["long", 2, 3, 4]}', pointer="/features/0"),
    Bad("'1' for 1", 422, "invalid_input", b'{"features": ["1", 2, 3, 4]}', pointer="/features/0"),
    Bad("true for 1", 422, "invalid_input", b'{"features": [true, 2, 3, 4]}', pointer="/features/0"),
    Bad("null", 422, "invalid_input", b'{"features": [null, 2, 3, 4]}', pointer="/features/0"),
    Bad("nested list", 422, "invalid_input", b'{"features": [[1], 2, 3, 4]}', pointer="/features/0"),
    Bad("string of 2 KB", 422, "invalid_input", json.dumps({"features": ["x" * 2048, 2, 3, 4]}).encode(),
        pointer="/features/0"),
    Bad("fault in row 37", 422, "invalid_input",
        json.dumps({"instances": [[1, 2, 3, 4]] * 37 + [[1, 2, 3, "4"]]}).encode(), pointer="/instances/37/3"),
]  # fmt: skip
TRANSPORT = [
    Bad("body over the limit", 413, "body_too_large", b" " * 1_048_577),
    Bad("gzip", 415, "unsupported_media_type", headers={"Content-Encoding": "gzip"}),
    Bad("br", 415, "unsupported_media_type", headers={"Content-Encoding": "br"}),
    Bad("deflate", 415, "unsupported_media_type", headers={"Content-Encoding": "deflate"}),
    Bad("form", 415, "unsupported_media_type", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Bad("another charset", 415, "unsupported_media_type", headers={"Content-Type": "application/json; charset=utf-16"}),
    Bad("unknown host", 400, "unknown_host", headers={"Host": "evil.example"}),
    Bad("host with a path", 400, "malformed_request", headers={"Host": "evil.example/localhost"}),
    Bad("other expectation", 417, "expectation_failed", headers={"Expect": "the-impossible"}),
]


RAW = [
    ("length and chunks", ["Content-Length: 5", "Transfer-Encoding: chunked"], 400, "malformed_request"),
    ("two lengths", ["Content-Length: 5", "Content-Length: 6"], 400, "malformed_request"),
    ("negative length", ["Content-Length: -5"], 400, "malformed_request"),
    ("length that is no number", ["Content-Length: 1e2"], 400, "malformed_request"),
    ("unknown transfer coding", ["Transfer-Encoding: gzip"], 501, "not_implemented"),
    ("length over the limit, no body", ["Content-Length: 1048577"], 413, "body_too_large"),
    ("length beyond any number", [f"Content-Length: {'9' * 18}"], 413, "body_too_large"),
    ("33 KB in one header", ["Filler: " + "x" * 33_000], 431, "headers_too_large"),
    ("101 headers", ["Filler: x"] * 101, 431, "headers_too_large"),
    ("header without a name", [": x"], 400, "malformed_request"),
    ("header with a line folded into it", ["A: b", " c"], 400, "malformed_request"),
    ("NUL in a header", ["A: b\0c"], 400, "malformed_request"),
    ("two hosts", ["Host: localhost"], 400, "malformed_request"),
    ("two media types", ["Content-Type: text/plain"], 415, "unsupported_media_type"),
    ("gzip and identity", ["Content-Encoding: gzip", "Content-Encoding: identity"], 415, "unsupported_media_type"),
]  # fmt: skip


@pytest.mark.parametrize("bad", MALFORMED + WRONG + TRANSPORT, ids=lambda bad: bad.name)
def test_a_bad_request_is_refused_with_problem_details_at_every_endpoint(platform: Platform, bad: Bad) -> None:
    for endpoint in ENDPOINTS:
        headers = {"Content-Type": "application/json"} | bad.headers | endpoint.headers
        body = problem(platform.client.post(endpoint.path, content=bad.body, headers=headers), bad.status, bad.code)
        if bad.pointer is not None:
            assert bad.pointer in [fault["pointer"] for fault in body["errors"]], endpoint


@pytest.mark.parametrize(("name", "headers", "status", "code"), RAW, ids=[row[0] for row in RAW])
def test_what_is_hardly_a_request_is_refused_with_problem_details_at_every_endpoint(
    platform: Platform, name: str, headers: list[str], status: int, code: str
) -> None:
    for endpoint in ENDPOINTS:
        preferred = [f"{key}: {value}" for key, value in endpoint.headers.items()]
        answer = raw(
            platform, f"POST {endpoint.path} HTTP/1.1", ["Content-Type: application/json", *preferred, *headers]
        )
        assert answer.startswith(f"HTTP/1.1 {status} "), (endpoint, answer)
        assert f'"code":"{code}"' in answer


def test_no_endpoint_is_missing_from_these_tests(platform: Platform) -> None:
    """Each path of the document that takes an input is one of those that are tried."""
    document = platform.client.get("/openapi.json").json()["paths"]
    endpoints = {path for path, operations in document.items() if "predict" in path and "post" in operations}
    tried = {
        path.replace("iris", "{name}").replace("/1/", "/{version}/").replace("production", "{alias}") for path in PATHS
    }
    assert endpoints
    assert endpoints <= tried


def test_a_body_without_a_content_type_is_refused(platform: Platform) -> None:
    for endpoint in ENDPOINTS:
        problem(
            platform.client.post(endpoint.path, content=GOOD, headers=endpoint.headers), 415, "unsupported_media_type"
        )


def test_a_streamed_body_over_the_limit_is_cut_off(platform: Platform) -> None:
    for endpoint in ENDPOINTS:
        parts = (b" " * 65_536 for _ in range(64))
        headers = {"Content-Type": "application/json"} | endpoint.headers
        problem(platform.client.post(endpoint.path, content=parts, headers=headers), 413, "body_too_large")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_answered_with_the_right_one(platform: Platform, method: str) -> None:
    for endpoint in ENDPOINTS:
        answer = platform.client.request(method, endpoint.path, headers=endpoint.headers)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


def test_whoever_accepts_only_xml_gets_json(platform: Platform) -> None:
    for endpoint in ENDPOINTS:
        headers = {"Accept": "text/xml"} | endpoint.headers
        answer = platform.client.post(endpoint.path, json=SAMPLE, headers=headers)
        assert answer.status_code == (202 if endpoint.later else 200)
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/models/unknown/predict", 404, "model_not_found"),
        ("/models/unknown/predict/async", 404, "model_not_found"),
        ("/models/iris/versions/999/predict", 404, "model_not_found"),
        ("/models/iris/versions/latest/predict", 422, "invalid_parameter"),
        ("/models/iris/versions/0/predict", 422, "invalid_parameter"),
        ("/models/iris/versions/-1/predict", 422, "invalid_parameter"),
        ("/models/iris/versions/9999999999999999999999/predict", 422, "invalid_parameter"),
        ("/models/%2e%2e/predict", 422, "invalid_parameter"),
        ("/models/iris%00/predict", 422, "invalid_parameter"),
        ("/models/..%5ciris/predict", 422, "invalid_parameter"),
        ("/models/%D1%96ris/predict", 422, "invalid_parameter"),
        (f"/models/{'x' * 64}/predict", 422, "invalid_parameter"),
        ("/models//predict", 422, "invalid_parameter"),
        ("/models/iris/../../etc/predict", 404, "not_found"),
        ("/predict/now", 404, "not_found"),
        (f"/{'x' * 9000}", 414, "url_too_long"),
    ],
)
def test_a_wrong_path_is_refused(platform: Platform, path: str, status: int, code: str) -> None:
    answer = raw(platform, f"POST {path} HTTP/1.1", ["Content-Type: application/json"], GOOD)
    assert answer.startswith(f"HTTP/1.1 {status} "), answer
    assert f'"code":"{code}"' in answer


@pytest.mark.parametrize("key", ["", "short", "x" * 256, "with space in it", "naïve-key-1"])
def test_a_malformed_idempotency_key_is_refused(platform: Platform, key: str) -> None:
    for endpoint in ASYNCHRONOUS:
        headers = [
            (b"Idempotency-Key", key.encode("latin-1")),
            *[(a.encode(), b.encode()) for a, b in endpoint.headers.items()],
        ]
        problem(platform.client.post(endpoint.path, json=SAMPLE, headers=headers), 400, "invalid_header")


def test_two_idempotency_keys_are_refused(platform: Platform) -> None:
    for endpoint in ASYNCHRONOUS:
        headers = [("Idempotency-Key", "first-key"), ("Idempotency-Key", "second-key"), *endpoint.headers.items()]
        problem(platform.client.post(endpoint.path, json=SAMPLE, headers=headers), 400, "invalid_header")


def test_an_idempotency_key_that_was_used_with_another_body_is_refused(platform: Platform) -> None:
    headers = {"Idempotency-Key": f"used-before-{uuid.uuid4()}"}
    other = {"features": [6.0, 3.0, 4.0, 1.0]}
    assert platform.client.post("/predict/async", json=SAMPLE, headers=headers).status_code == 202
    for endpoint in ASYNCHRONOUS:
        answer = platform.client.post(endpoint.path, json=other, headers=headers | endpoint.headers)
        problem(answer, 422, "idempotency_key_reused")


@pytest.mark.parametrize("lifetime", ["0", "-1", "nan", "inf", "1e30", "", "soon", "1&expires_in=2", "1&other=2"])
def test_a_lifetime_that_is_none_is_refused(platform: Platform, lifetime: str) -> None:
    for endpoint in ASYNCHRONOUS:
        answer = platform.client.post(f"{endpoint.path}?expires_in={lifetime}", json=SAMPLE, headers=endpoint.headers)
        problem(answer, 422, "invalid_parameter")


@pytest.mark.parametrize("job", ["1", "not-a-uuid", "01a20929-a275-761e-976d-94e2e7995b6f", "%00", "..%2fjobs"])
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("GET", "?wait=1"), ("POST", "/cancel")])
def test_a_job_that_is_not_there_is_not_found(platform: Platform, job: str, method: str, suffix: str) -> None:
    answer = platform.client.request(method, f"/jobs/{job}{suffix}")
    assert answer.status_code == 404
    assert answer.json()["code"] in {"job_not_found", "not_found"}


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "31", "1e9", "soon", "", "1&wait=2"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(platform: Platform, wait: str) -> None:
    job = platform.accept()
    body = problem(platform.client.get(f"/jobs/{job}?wait={wait}"), 422, "invalid_parameter")
    assert body["errors"][0]["parameter"] == "wait"


@pytest.mark.parametrize("request_line", ["NONSENSE", "POST", "POST /predict/ HTTP/9.9", "\x16\x03\x01"])
def test_what_is_no_request_is_refused(platform: Platform, request_line: str) -> None:
    answer = raw(platform, request_line, [])
    assert answer.startswith("HTTP/1.1 400 ")
    assert '"code":"malformed_request"' in answer


def test_after_all_that_the_platform_still_predicts(platform: Platform) -> None:
    assert platform.client.post("/predict/", json=SAMPLE).json()["label"] == "setosa"
    assert "request failed" not in platform.parts["api"].log.read_text()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem details of an answer, whose form is checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def raw(platform: Platform, request_line: str, headers: list[str], body: bytes = b"") -> str:
    """Send bytes as they are, and read until the server closes or has answered."""
    lines = [request_line, f"Host: 127.0.0.1:{platform.port}", *headers, "Connection: close"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass
        return answer.decode("latin-1")
