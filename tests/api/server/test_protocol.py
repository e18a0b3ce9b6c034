"""How large and how slow a request may be, over real sockets, against a server whose patience is short."""

import contextlib
import re
import select
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from ai_platform.settings import Settings
from api_in_thread import live
from harness import eventually

GOOD = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
HEAD = b"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def hasty(module_settings: Settings) -> Iterator[str]:
    """URL of an API that waits half a second for headers, and as long for bodies."""
    limits = module_settings.limits.model_copy(update={"header_seconds": 0.5, "body_seconds": 0.5})
    with live(module_settings.model_copy(update={"limits": limits})) as url:
        yield url


@pytest.fixture
def connection(hasty: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(hasty.rpartition(":")[2])), timeout=10) as made:
        yield made


def read(connection: socket.socket) -> str:
    """Everything until the server closes."""
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except ConnectionResetError:
        answer += b"<reset>"
    return answer.decode("latin-1")


def refused(answer: str, status: int, code: str) -> None:
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), answer
    assert "content-type: application/problem+json" in head
    assert "connection: close" in head
    assert f'"code":"{code}"' in body
    request_id = re.search("x-request-id: (.+)\r\n", head + "\r\n")
    assert request_id is not None
    assert f'"request_id":"{request_id[1]}"' in body
    assert body.count("HTTP/1.1") == 0, "one answer, not two"


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_header_of_four_megabytes_is_refused_before_it_has_arrived(connection: socket.socket, pieces: int) -> None:
    connection.sendall(HEAD + b"Filler: ")
    sent = 0
    try:
        while sent < 4_000_000:
            connection.sendall(b"x" * (65_536 // pieces))
            sent += 65_536 // pieces
    except OSError:
        pass
    refused(read(connection), 431, "headers_too_large")


def test_headers_that_are_too_large_together_are_refused(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"".join(b"H%d: %s\r\n" % (n, b"x" * 1000) for n in range(33)) + b"\r\n")
    refused(read(connection), 431, "headers_too_large")


def test_a_hundred_and_one_headers_are_refused(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"".join(b"H%d: x\r\n" % n for n in range(99)) + b"\r\n")
    refused(read(connection), 431, "headers_too_large")


def test_a_large_head_within_the_bounds_is_served(connection: socket.socket) -> None:
    filler = b"".join(b"H%d: %s\r\n" % (n, b"x" * 1000) for n in range(30))
    connection.sendall(HEAD + filler + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
    assert read(connection).startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [9_000, 300_000])
def test_a_url_that_is_too_long_is_refused(connection: socket.socket, size: int) -> None:
    connection.sendall(b"GET /" + b"x" * size)
    connection.sendall(b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    refused(read(connection), 414, "url_too_long")


def test_headers_that_drip_are_cut_off(connection: socket.socket) -> None:
    connection.sendall(HEAD)
    drip(connection, b"X: y\r\n")
    refused(read(connection), 408, "request_timed_out")


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("endpoint", [b"/predict/", b"/predict/async"])
def test_a_body_that_drips_is_cut_off(connection: socket.socket, framing: bytes, endpoint: bytes) -> None:
    connection.sendall(HEAD.replace(b"/predict/", endpoint) + framing + b"\r\n\r\n")
    drip(connection, b"1\r\n \r\n" if b"chunked" in framing else b" ")
    refused(read(connection), 408, "request_timed_out")


def test_a_body_that_nobody_reads_ends_the_connection_after_one_answer(connection: socket.socket) -> None:
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
    drip(connection, b" ")
    answer = read(connection)
    assert answer.startswith("HTTP/1.1 200 ")
    assert answer.count("HTTP/1.1") == 1


def test_a_caller_that_says_nothing_is_let_go_without_a_word(connection: socket.socket) -> None:
    assert read(connection) == ""


def test_a_body_that_keeps_its_pace_may_take_longer_than_the_limit(connection: socket.socket) -> None:
    size = 400_000
    connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (size + len(GOOD)))
    for _ in range(10):
        connection.sendall(b" " * (size // 10))
        time.sleep(0.08)  # 0.8 s in all
    connection.sendall(GOOD)
    assert read(connection).startswith("HTTP/1.1 200 ")


def test_an_answer_that_refuses_a_body_arrives_although_the_body_is_still_being_sent(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    try:
        for _ in range(64):
            connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
    except OSError:
        pytest.fail("the connection was reset while the answer was on its way")
    refused(read(connection), 413, "body_too_large")


def test_requests_one_after_another_share_a_connection(connection: socket.socket) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    connection.sendall(request * 3 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert read(connection).count("HTTP/1.1 200 ") == 4


def test_a_slow_request_after_a_quick_one_has_its_own_time(connection: socket.socket) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    connection.sendall(request + b"GET /hea")
    answer = read(connection)
    assert answer.startswith("HTTP/1.1 200 ")
    refused(answer[answer.index("HTTP/1.1 408") :], 408, "request_timed_out")


def test_beyond_so_many_connections_idle_ones_leave_for_new_ones_and_busy_ones_go_on(module_settings: Settings) -> None:
    limits = module_settings.limits.model_copy(update={"connections": 3, "header_seconds": 30})
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with live(module_settings.model_copy(update={"limits": limits})) as url, contextlib.ExitStack() as held:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        busy, *silent = [held.enter_context(socket.create_connection(address, timeout=10)) for _ in range(3)]
        busy.sendall(request + b"GET /health/li")
        assert busy.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(address, timeout=10) as further:
            further.sendall(request)
            assert further.recv(65_536).startswith(b"HTTP/1.1 200 ")
            (left,) = select.select(silent, [], [], 10)[0]  # either: they have been idle for as long
            assert read(left) in {"", "<reset>"}
            for one in (further, *(one for one in silent if one is not left)):
                one.sendall(b"GET /health/li")
            with socket.create_connection(address, timeout=10) as one_too_many:
                assert read(one_too_many) in {"", "<reset>"}
        busy.sendall(b"ve HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert busy.recv(65_536).startswith(b"HTTP/1.1 200 ")
        busy.close()
        eventually(lambda: _answers(f"{url}/health/live"), what="there is room again")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def drip(connection: socket.socket, drop: bytes) -> None:
    """Send a little every 50 ms until the server answers or leaves, 5 s at most."""
    limit = time.monotonic() + 5
    connection.settimeout(0.05)
    while time.monotonic() < limit:
        try:
            connection.sendall(drop)
            if connection.recv(1, socket.MSG_PEEK) == b"" or b"408" in connection.recv(16, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
        except OSError:
            break
        time.sleep(0.05)
    connection.settimeout(10)
