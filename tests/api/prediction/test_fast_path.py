"""A prediction that arrives in one piece takes the fast path, and in several pieces the slow path: answered alike."""

import json
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ai_platform.settings import Settings
from api_in_thread import live
from harness import eventually

GOOD = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
MANY = b'{"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}'
WRONG = b'{"features": [5.1, 3.5, 1.4]}'


@pytest.fixture(scope="module")
def url(module_settings: Settings) -> Iterator[str]:
    with live(module_settings, timeout_keep_alive=1) as base:
        httpx.post(f"{base}/models/iris/predict", content=GOOD, headers={"Content-Type": "application/json"})
        yield base


@pytest.fixture
def connection(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield made


def request(body: bytes = GOOD, path: bytes = b"/predict/", headers: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST %b HTTP/%b\r\nHost: localhost\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        path,
        version,
        headers,
        len(body),
        body,
    )


class Reader:
    """Reads one answer after another from a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""

    def answer(self) -> tuple[int, dict[str, str], Any]:
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        size = int(headers["content-length"])
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return int(lines[0].split()[1]), headers, json.loads(body)

    def ended(self) -> bool:
        return not self._read and self._connection.recv(1) == b""

    def _more(self) -> None:
        part = self._connection.recv(65_536)
        assert part, f"closed after {self._read!r}"
        self._read += part


def without_ids(answer: tuple[int, dict[str, str], Any]) -> Any:
    status, headers, body = answer
    assert uuid.UUID(headers["x-request-id"]).version == 7
    kept = {name: value for name, value in headers.items() if name not in {"x-request-id", "date"}}
    return status, kept, {name: value for name, value in body.items() if name not in {"id", "request_id"}}


@pytest.mark.parametrize(
    "path", [b"/predict/", b"/predict", b"/models/iris/predict", b"/models/iris/versions/1/predict"]
)
@pytest.mark.parametrize("body", [GOOD, MANY, WRONG, b"{", b""], ids=["one", "many", "wrong", "no JSON", "empty"])
def test_whole_or_in_pieces_a_request_is_answered_alike(connection: socket.socket, path: bytes, body: bytes) -> None:
    reader = Reader(connection)
    connection.sendall(request(body, path))
    whole = without_ids(reader.answer())
    connection.sendall(request(body, path, b"Origin: https://elsewhere.example\r\n"))
    long_way = without_ids(reader.answer())
    sent = request(body, path)
    for place in {len(sent) - len(body), len(sent) - len(body) // 2}:
        connection.sendall(sent[:place])
        connection.sendall(sent[place:])
        assert without_ids(reader.answer()) == whole
    assert long_way == whole


def test_requests_that_arrive_together_are_answered_one_after_another(connection: socket.socket) -> None:
    ids = [f"caller-{number}" for number in range(6)]
    ways = [b"", b"Origin: https://elsewhere.example\r\n", b"", b"", b"Prefer: respond-async\r\n", b""]
    connection.sendall(
        b"".join(
            request(headers=b"X-Request-ID: %b\r\n" % name.encode() + way)
            for name, way in zip(ids, ways, strict=True)
        )
    )  # fmt: skip
    reader = Reader(connection)
    answers = [reader.answer() for _ in ids]
    assert [headers["x-request-id"] for _, headers, _ in answers] == ids
    assert [status for status, _, _ in answers] == [200, 200, 200, 200, 202, 200]


def test_however_many_arrive_together_all_are_answered_in_order(connection: socket.socket) -> None:
    ids = [f"caller-{number}" for number in range(150)]
    connection.sendall(b"".join(request(headers=b"X-Request-ID: %b\r\n" % name.encode()) for name in ids))
    reader = Reader(connection)
    assert [reader.answer()[1]["x-request-id"] for _ in ids] == ids


@pytest.mark.parametrize(
    "sent",
    [
        request(headers=b"Connection: close\r\n"),
        request(version=b"1.0"),
        request(WRONG, headers=b"Connection: close\r\n"),
    ],
    ids=["asked to close", "HTTP/1.0", "asked to close, and wrong"],
)  # fmt: skip
def test_a_connection_that_is_not_kept_open_is_closed_after_the_answer(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    reader = Reader(connection)
    _, headers, _ = reader.answer()
    assert headers["connection"] == "close"
    assert reader.ended()


def test_a_caller_who_reads_nothing_is_waited_for_and_gets_every_answer(connection: socket.socket) -> None:
    body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]] * 900}).encode()
    count = 60
    sent = memoryview(request(body) * count)
    connection.setblocking(False)
    stuck = 0
    while sent and stuck < 1_000:  # until neither side takes more, since nothing is read
        try:
            sent, stuck = sent[connection.send(sent) :], 0
        except BlockingIOError:
            stuck += 1
    connection.settimeout(10)
    rest = threading.Thread(target=connection.sendall, args=(sent,))
    rest.start()
    reader = Reader(connection)
    for _ in range(count):
        status, _, answered = reader.answer()
        assert status == 200
        assert len(answered["predictions"]) == 900
    rest.join(10)


def test_answers_on_both_ways_are_counted(url: str, connection: socket.socket) -> None:
    def counted() -> float:
        text = httpx.get(f"{url}/metrics").text
        found = re.findall(r'aip_requests_total\{method="POST",route="/predict/",status="200"\} (\S+)', text)
        return float(found[0]) if found else 0.0

    before = counted()
    reader = Reader(connection)
    for headers in (b"", b"Origin: https://elsewhere.example\r\n", b""):
        connection.sendall(request(headers=headers))
        assert reader.answer()[0] == 200
    eventually(lambda: counted() == before + 3, 5, "all three are counted")


def test_an_idle_connection_is_closed_after_its_time_and_a_busy_one_is_not(url: str) -> None:
    port = int(url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as idle,
        socket.create_connection(("127.0.0.1", port), timeout=10) as busy,
    ):
        busy_reader, idle_reader = Reader(busy), Reader(idle)
        idle.sendall(request())
        assert idle_reader.answer()[0] == 200
        idle.setblocking(False)
        answered = 0
        while not _is_closed(idle):
            busy.sendall(request())
            assert busy_reader.answer()[0] == 200
            answered += 1
        assert answered > 10


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
