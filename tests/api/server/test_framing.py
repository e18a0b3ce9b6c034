"""Where a request ends, and what belongs to it: sent in one piece, behind others, and byte by byte."""

import re
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from ai_platform.settings import Settings
from api_in_thread import live
from harness import eventually

GOOD = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
POST = b"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(GOOD), GOOD)
LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\nX-Request-ID: the-last-one\r\n\r\n")
OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


def whole(connection: socket.socket, sent: bytes) -> int:
    connection.sendall(sent)
    return 0


def pipelined(connection: socket.socket, sent: bytes) -> int:
    connection.sendall(LIVE * 2 + sent)
    return 2


def segmented(connection: socket.socket, sent: bytes) -> int:
    try:
        for number in range(len(sent)):
            connection.sendall(sent[number : number + 1])
    except OSError:
        pass  # it was refused before its end
    return 0


WAYS = pytest.mark.parametrize("send", [whole, pipelined, segmented])
Send = Callable[[socket.socket, bytes], int]


@pytest.fixture(scope="module")
def url(module_settings: Settings) -> Iterator[str]:
    with live(module_settings) as base:
        yield base


@pytest.fixture
def connection(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield made


def answers(connection: socket.socket) -> tuple[list[int], str]:
    """Statuses of all answers until the server closes, and their text."""
    read = b""
    try:
        while part := connection.recv(65_536):
            read += part
    except ConnectionResetError:
        pytest.fail("the connection was reset")
    text = read.decode("latin-1")
    return [int(status) for status in re.findall(r"HTTP/1\.1 ([0-9]{3}) ", text)], text


@WAYS
@pytest.mark.parametrize(
    "offer", [OFFER, OFFER.replace(b"h2c", b"websocket"), b"Connection: keep-alive, upgrade\r\nUpgrade: a\r\n"]
)
@pytest.mark.parametrize(
    "length", [b"Content-Length: %d\r\n\r\n%b", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"]
)
def test_an_offer_of_another_protocol_leaves_the_body_a_body(
    connection: socket.socket, send: Send, offer: bytes, length: bytes
) -> None:
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: smuggled\r\n\r\n"
    before = send(connection, POST + offer + length % (len(smuggled), smuggled) + LAST)
    statuses, text = answers(connection)
    assert statuses[before:] == [400, 200]
    assert "x-request-id: smuggled" not in text
    assert "x-request-id: the-last-one" in text


@WAYS
def test_a_request_that_offers_another_protocol_is_answered_in_this_one(connection: socket.socket, send: Send) -> None:
    get = LIVE.replace(
        b"\r\n\r\n", b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    post = POST + OFFER + b"Content-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD)
    before = send(connection, get + post + get + LAST)
    assert answers(connection)[0][before:] == [200] * 4


@WAYS
def test_a_tunnel_is_refused_and_nothing_behind_it_is_read(connection: socket.socket, send: Send) -> None:
    before = send(
        connection, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\nContent-Length: 0\r\n\r\n" + LIVE
    )
    statuses, text = answers(connection)
    assert statuses[before:] == [501]
    assert '"code":"not_implemented"' in text


@WAYS
@pytest.mark.parametrize(
    ("trailer", "headers", "status"),
    [
        (b"Host: evil.example\r\n", b"", 200),
        (b"X-API-Key: aip_x\r\nAuthorization: Bearer aip_x\r\n", b"", 200),
        (b"X-Forwarded-For: 10.0.0.1\r\nX-Request-ID: from-a-trailer\r\n", b"", 200),
        (b"Prefer: respond-async\r\nIdempotency-Key: 12345678\r\n", b"", 200),
        (b"Content-Type: text/plain\r\nContent-Encoding: gzip\r\nExpect: x\r\n", b"", 200),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"", 200),
        (b"Host: localhost\r\n", b"Host: evil.example\r\n", 400),
    ],
)
def test_a_trailer_is_not_believed(
    connection: socket.socket, send: Send, trailer: bytes, headers: bytes, status: int
) -> None:
    request = CHUNKED if not headers else CHUNKED.replace(b"Host: localhost\r\n", headers)
    before = send(connection, request + trailer + b"\r\n" + LAST)
    statuses, text = answers(connection)
    assert statuses[before:] == [status, 200]
    assert "from-a-trailer" not in text


REFUSED = [
    ("two codings", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("two coding headers", POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked not last", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("chunked in 1.0", CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", 400),
    ("coding and length", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("length and coding", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("two lengths", POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400),
    ("a list of lengths", POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    ("a signed length", POST + b"Content-Length: +2\r\n\r\n{}", 400),
    ("a huge length", POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
    ("another host in the target", LIVE.replace(b"/health", b"http://evil.example/health"), 400),
    ("another port in the target", LIVE.replace(b"/health", b"http://localhost:81/health"), 400),
    ("a user in the target", LIVE.replace(b"/health", b"http://me@localhost/health"), 400),
    ("another scheme in the target", LIVE.replace(b"/health", b"ftp://localhost/health"), 400),
    ("a fragment", LIVE.replace(b"/live", b"/live#part"), 400),
    ("a fragment in a prediction", POST.replace(b"/predict/", b"/predict/#part") + b"Content-Length: 2\r\n\r\n{}", 400),
    ("HTTP/2.0", LIVE.replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
    ("a prediction in HTTP/2.0", POST.replace(b"HTTP/1.1", b"HTTP/2.0") + b"Content-Length: 2\r\n\r\n{}", 505),
    ("HTTP/0.9", LIVE.replace(b"HTTP/1.1", b"HTTP/0.9"), 505),
    ("HTTP/1.2", LIVE.replace(b"HTTP/1.1", b"HTTP/1.2"), 400),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("no host", b"GET /health/live HTTP/1.1\r\n\r\n", 400),
    ("two hosts", LIVE.replace(b"\r\n\r\n", b"\r\nHost: localhost\r\n\r\n"), 400),
    ("a host with a path", LIVE.replace(b": localhost", b": localhost/x"), 400),
    ("a host with a user", LIVE.replace(b": localhost", b": me@localhost"), 400),
    ("a folded header", LIVE.replace(b"\r\n\r\n", b"\r\nX: a\r\n b\r\n\r\n"), 400),
    ("a bare line feed", LIVE.replace(b"\r\n\r\n", b"\nX: a\r\n\r\n"), 400),
    ("a bare carriage return", LIVE.replace(b"\r\n\r\n", b"\rX: a\r\n\r\n"), 400),
    ("NUL", LIVE.replace(b"\r\n\r\n", b"\r\nX: a\0b\r\n\r\n"), 400),
    ("a blank before the colon", LIVE.replace(b"Host:", b"Host :"), 400),
    ("a chunk size with a sign", POST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", 400),
    ("a chunk that is longer", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
]  # fmt: skip


@WAYS
@pytest.mark.parametrize(("request_", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_framing_with_two_meanings_is_refused_and_the_connection_closed(
    connection: socket.socket, send: Send, request_: bytes, status: int
) -> None:
    before = send(connection, request_ + LIVE)
    statuses, text = answers(connection)
    assert statuses[before:] == [status]
    assert "connection: close" in text
    assert "application/problem+json" in text


@WAYS
@pytest.mark.parametrize("target", [b"http://localhost/health/live", b"HTTP://LOCALHOST:80/health/live"])
def test_an_absolute_target_for_the_same_host_is_answered(connection: socket.socket, send: Send, target: bytes) -> None:
    before = send(connection, LIVE.replace(b"/health/live", target) + LAST)
    assert answers(connection)[0][before:] == [200, 200]


def test_more_requests_in_one_piece_than_may_wait_are_all_answered_in_order(connection: socket.socket) -> None:
    named = b"".join(LIVE.replace(b"\r\n\r\n", b"\r\nX-Request-ID: %d\r\n\r\n" % number) for number in range(3_000))
    connection.sendall(named + LAST)
    statuses, text = answers(connection)
    assert statuses == [200] * 3_001
    assert re.findall(r"x-request-id: (\d+)", text) == [str(number) for number in range(3_000)]


def test_predictions_between_other_requests_are_answered_in_order(connection: socket.socket) -> None:
    post = POST + b"X-Request-ID: a\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD)
    get = LIVE.replace(b"\r\n\r\n", b"\r\nX-Request-ID: b\r\n\r\n")
    connection.sendall((post * 40 + get * 40) * 5 + LAST)
    statuses, text = answers(connection)
    assert statuses == [200] * 401
    assert "".join(re.findall(r"x-request-id: ([ab])\r", text)) == ("a" * 40 + "b" * 40) * 5


def test_a_refusal_comes_after_the_answers_that_are_due(connection: socket.socket) -> None:
    connection.sendall(LIVE * 3 + POST + b"Transfer-Encoding: chunked\r\n\r\nz" + LIVE)
    assert answers(connection)[0] == [200, 200, 200, 400]


PATHS = [
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/docs",
    "/openapi.json",
    "/metrics",
    "/models",
    "/models/iris",
    "/models/iris/versions",
    "/models/iris/versions/1",
    "/models/iris/versions/1/artifact",
    "/models/iris/aliases",
    "/jobs",
    "/keys",
    "/audit",
    "/nowhere",
    "/models/nothing",
    "/predict/",
]


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_does_without_a_body(url: str, path: str) -> None:
    with httpx.Client(base_url=url) as client:
        got, asked = client.get(path), client.head(path)
    assert asked.status_code == got.status_code
    assert asked.content == b""
    varying = {"date", "x-request-id", "transfer-encoding"} | (
        {"content-length"} if path in {"/health", "/metrics"} else set()
    )
    expected = {name: value for name, value in got.headers.items() if name not in varying}
    if got.headers["content-type"] == "application/problem+json":
        expected["content-length"] = asked.headers["content-length"]  # it holds the request's id
    assert {name: value for name, value in asked.headers.items() if name not in varying} == expected


def test_head_of_a_stream_ends_after_its_headers(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        job = client.post("/predict/async", json={"features": [5.1, 3.5, 1.4, 0.2]}).json()["id"]
        asked = client.head(f"/jobs/{job}/events", timeout=5)
        assert asked.status_code == 200
        assert asked.headers["content-type"].startswith("text/event-stream")
        counted = 'method="HEAD",route="/jobs/{job_id}/events",status="200"'
        eventually(lambda: counted in client.get("/metrics").text, what="it is counted")
