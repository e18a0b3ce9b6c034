"""What an HTTP server saw of the bytes of one connection: each request, what it refused, and how it ended.

A server that is asked tells in the header `X-Seen` of each answer which request it answers, so that all are judged by
their own word. A request of the case is followed by nothing: what a server still waits for is told by its silence.
"""

import asyncio
import base64
import contextlib
import json
from dataclasses import dataclass
from typing import Any, Literal

SEEN = "x-seen"
# How long a server that says nothing is listened to. A disagreement is looked at again with more patience.
PATIENCE = 0.15
End = Literal["closed", "open"]
# Headers that a gateway makes or changes, and a server's own.
_NOT_COMPARED = {"connection", "content-length", "transfer-encoding", "host", "expect", "upgrade", "te", "trailer",
                 "keep-alive", "x-target", "x-version"}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request, as a server understood it.

    Attributes:
        method: of it.
        target: as it was sent.
        host: of the Host header, "" without one.
        headers: name in lower case and value, in order, without those that concern one connection alone.
        body: all of it.
    """

    method: str
    target: str
    host: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Seen:
    """What a server saw of one connection.

    Attributes:
        answers: in order, each with the request that it took, or the status with which it refused what stood there; 0
            for an answer without a head, as HTTP/0.9 had it.
        end: whether it closed the connection, or waited for more.
    """

    answers: tuple[Request | int, ...]
    end: End


def request_of(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> Request:
    """A request with what is compared of its headers."""
    host = next((value for name, value in headers if name == "host"), "")
    kept = tuple((name, value) for name, value in headers if name not in _NOT_COMPARED)
    return Request(method, target, host, kept, body)


def encoded(request: Request) -> str:
    """A request as the value of a header."""
    parts: dict[str, Any] = {**request.__dict__, "body": request.body.hex()}
    return base64.b64encode(json.dumps(parts).encode()).decode()


def decoded(text: str) -> Request:
    """What `encoded` wrote."""
    parts = json.loads(base64.b64decode(text))
    headers = tuple((name, value) for name, value in parts["headers"])
    return Request(parts["method"], parts["target"], parts["host"], headers, bytes.fromhex(parts["body"]))


async def observe(port: int, pieces: list[bytes], patience: float = PATIENCE) -> Seen:
    """Send pieces over a connection of their own, each as a segment, and listen until the server is done.

    Args:
        port: of the server, on loopback.
        pieces: what is sent.
        patience: seconds of silence after which it is taken to wait for more.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = _Answers()
    try:
        with contextlib.suppress(ConnectionError):
            for number, piece in enumerate(pieces):
                if number:
                    await asyncio.sleep(0.002)  # so that the server reads the segment by itself
                writer.write(piece)
                await writer.drain()
        end: End = await _listen(reader, answers, patience)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return answers.seen(end)


async def _listen(reader: asyncio.StreamReader, answers: "_Answers", patience: float) -> End:
    while True:
        try:
            async with asyncio.timeout(patience):
                part = await reader.read(65_536)
        except TimeoutError:
            return "open"
        except ConnectionError:
            return "closed"
        if not part:
            return "closed"
        answers.add(part)


class _Answers:
    """The answers of one connection, as they come in."""

    def __init__(self) -> None:
        self._bytes = b""
        self._answers: list[Request | int] = []

    def add(self, part: bytes) -> None:
        self._bytes += part
        while b"\r\n\r\n" in self._bytes and self._one():
            pass

    def _one(self) -> bool:
        head, _, rest = self._bytes.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if not first.startswith("HTTP/"):
            return False
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        request = decoded(headers[SEEN]) if SEEN in headers else None
        bodiless = status < 200 or (request is not None and request.method == "HEAD")
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        if len(rest) < length:
            return False
        if status >= 200:
            self._answers.append(request or status)
        self._bytes = rest[length:]
        return True

    def seen(self, end: End) -> Seen:
        return Seen((*self._answers, 0) if self._bytes and not self._answers else tuple(self._answers), end)
