"""What one caller can make the API keep, against a real API process: its memory stays where it is at rest."""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ai_platform.settings import Settings
from api_in_thread import live
from harness import Platform, eventually

GOOD = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
POST = b"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What an attack sends at most; and by how much the process may grow over its rest.
SENT = 60_000_000
GROWTH_KB = 30_000


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[Platform]:
    with Platform.running(module_settings, "api") as running:
        yield running


def peak_kb(pid: int) -> int:
    """The most resident memory since it was last reset."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def flood(connection: socket.socket, beginning: bytes, piece: bytes) -> int:
    """Send without end and without reading until the server leaves, or takes no more; how many bytes it took."""
    connection.settimeout(1)
    sent = 0
    with contextlib.suppress(OSError):
        connection.sendall(beginning)
        while sent < SENT:
            sent += connection.send(piece)
    return sent


LINE = b"X-Filler: " + b"x" * 1_000 + b"\r\n"
BODY = b"%x\r\n%b\r\n" % (len(GOOD), GOOD)
ATTACKS: dict[str, tuple[bytes, bytes]] = {
    "trailers": (CHUNKED + BODY + b"0\r\n", LINE * 60),
    "short trailers": (CHUNKED + BODY + b"0\r\n", b"a:\r\n" * 16_000),
    "trailers after a refusal": (CHUNKED.replace(b"/predict/", b"/nowhere") + BODY + b"0\r\n", LINE * 60),
    "one trailer": (CHUNKED + BODY + b"0\r\nX: ", b"x" * 65_536),
    "the name of a trailer": (CHUNKED + BODY + b"0\r\n", b"x" * 65_536),
    "one extension of a chunk": (CHUNKED + b"1;x=", b"x" * 65_536),
    "an extension for each chunk": (CHUNKED, (b"1;x=" + b"x" * 1_000 + b"\r\n \r\n") * 60),
    "zeros before the size of a chunk": (CHUNKED, b"0" * 65_536),
    "small chunks": (CHUNKED, b"1\r\n \r\n" * 10_000),
    "a body for a route that reads none": (LIVE[:-2] + b"Content-Length: 4000000000\r\n\r\n", b"x" * 65_536),
    "chunks for a route that reads none": (LIVE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", BODY * 1_000),
    "a header": (POST + b"X: ", b"x" * 65_536),
    "headers": (POST, LINE * 60),
    "a path": (b"GET /", b"x" * 65_536),
    "a query": (b"GET /?", b"x" * 65_536),
    "a body beyond the limit": (POST + b"Content-Length: 4000000000\r\n\r\n", b" " * 65_536),
    "blank lines": (b"", b"\r\n" * 32_768),
    "requests whose answers are not read": (b"", LIVE * 1_000),
    "predictions whose answers are not read": (b"", (POST + b"Content-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD)) * 400),
    "offers of another protocol": (b"", (LIVE[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n") * 800),
    "what is no HTTP": (b"", b"\x16\x03\x01" * 20_000),
    "requests after the last one": (LIVE[:-2] + b"Connection: close\r\n\r\n", LIVE * 1_000),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_sender_fills_the_memory(api: Platform, attack: str) -> None:
    pid = api.parts["api"].pid
    assert api.answers("/health/live")
    reset_peak(pid)
    rest = peak_kb(pid)
    beginning, piece = ATTACKS[attack]
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        flood(connection, beginning, piece)
        assert api.answers("/health/live"), "others are answered meanwhile"
        assert peak_kb(pid) - rest < GROWTH_KB


def test_many_senders_together_have_one_bound(module_settings: Settings) -> None:
    limits = module_settings.limits.model_copy(update={"buffered_mb": 1, "body_seconds": 20})
    almost = POST.replace(b"/predict/", b"/predict/async") + b"Content-Length: 300000\r\n\r\n" + b" " * 290_000
    with live(module_settings.model_copy(update={"limits": limits})) as url, contextlib.ExitStack() as held:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        senders = [held.enter_context(socket.create_connection(address, timeout=10)) for _ in range(6)]
        for sender in senders:
            sender.sendall(almost)
        eventually(lambda: any(_was_refused(sender) for sender in senders), what="one of them is refused")
        assert httpx.get(f"{url}/health/live").status_code == 200
        sample = {"features": [5.1, 3.5, 1.4, 0.2]}
        assert httpx.post(f"{url}/predict/", json=sample).status_code == 200
        for sender in senders:
            sender.close()
        eventually(lambda: httpx.post(f"{url}/predict/async", json=sample).status_code == 202, what="there is room")


def test_a_caller_that_does_not_read_its_answers_is_cut_off(module_settings: Settings) -> None:
    limits = module_settings.limits.model_copy(update={"answer_seconds": 0.3})
    with live(module_settings.model_copy(update={"limits": limits})) as url:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            reader.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            flood(reader, b"", LIVE.replace(b"/health/live", b"/openapi.json") * 100)
            eventually(lambda: _is_reset(reader), what="the connection is cut off")
        counted = 'aip_connections_cut_total{why="unread"} 1.0'
        assert counted in httpx.get(f"{url}/metrics").text


def test_a_post_at_the_end_of_the_idle_time_is_answered_and_told_when_it_was_the_last(
    module_settings: Settings,
) -> None:
    """300 callers, whose requests come from 0.3 s before to 0.3 s after a keep-alive time of 1 s."""
    request = POST + b"Content-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD)
    with live(module_settings, timeout_keep_alive=1) as url, contextlib.ExitStack() as held:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        callers = [held.enter_context(socket.create_connection(address, timeout=10)) for _ in range(300)]
        begun = []
        for caller in callers:
            caller.sendall(request)
            assert caller.recv(65_536).startswith(b"HTTP/1.1 200 ")
            begun.append(time.monotonic())
        closing = 0
        for number, caller in enumerate(callers):
            time.sleep(max(0.0, begun[number] + 0.7 + 0.6 * number / len(callers) - time.monotonic()))
            caller.sendall(request)
            answer = caller.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            if b"connection: close" in answer:
                closing += 1
                assert caller.recv(1) == b""
        assert closing > 0


def _was_refused(sender: socket.socket) -> bool:
    return _now(sender, lambda: sender.recv(65_536).startswith(b"HTTP/1.1 503 "))


def _is_reset(reader: socket.socket) -> bool:
    try:
        return _now(reader, lambda: bool(reader.send(b"x")) and False)
    except OSError:
        return True


def _now(connection: socket.socket, act: Callable[[], bool]) -> bool:
    """What an act says that must not wait; False if it would have to."""
    connection.setblocking(False)
    try:
        return act()
    except BlockingIOError:
        return False
