"""The bytes of some thousand connections: what clients send, and what nobody should.

Each kind is enumerated, then bytes of all of them are changed at random, from a seed. A case has a name that says how
it was made.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from api.server.differential.recorded import RECORDED

HOST = b"Host: localhost\r\n"
BODY = b'{"a": 1}'
SECOND = b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n"


@dataclass(frozen=True)
class Case:
    """One connection.

    Attributes:
        name: how it was made.
        pieces: what is sent, segment by segment.
    """

    name: str
    pieces: tuple[bytes, ...]

    @property
    def whole(self) -> bytes:
        """All bytes."""
        return b"".join(self.pieces)


def post(*headers: bytes, body: bytes = b"", version: bytes = b"1.1", host: bytes = HOST) -> bytes:
    """A POST with these header lines."""
    lines = b"".join(line + b"\r\n" for line in headers)
    return b"POST /first HTTP/" + version + b"\r\n" + host + lines + b"\r\n" + body


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


LENGTHS = [
    b"8", b"08", b"0000000000000000000008", b"+8", b"-8", b"-0", b" 8", b"8 ", b"\t8", b"8\t", b"8, 8", b"8,8", b"8, 9",
    b"8 8", b"0x8", b"0", b"8.0", b"8e0", b"", b"eight", b"4", b"9", b"18446744073709551624", b"18446744073709551615",
    b"9223372036854775808", b"99999999999999999999999999", b"\x008", b"8\x00", b"8_0", b"\xd9\xa8", b"8;", b'"8"',
]  # fmt: skip
CODINGS = [
    b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"\tchunked", b"chunked\t", b"\x0bchunked",
    b"chunked\x0c", b"chunked\x00", b"xchunked", b"chunkedx", b"chunk", b"identity", b"gzip", b"gzip, chunked",
    b"chunked, gzip", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"chunked,chunked", b",chunked",
    b"chunked,", b"", b'"chunked"', b"'chunked'", b"chunked;q=1", b"chunked; a=b", b"deflate", b"x", b"chun\xadked",
]  # fmt: skip
CHUNKED_BODIES = [
    chunked(BODY), chunked(b"abc", b"defgh"), chunked(), chunked(BODY, end=b"0\r\nA: b\r\n\r\n"),
    chunked(BODY, end=b"0\r\nContent-Length: 3\r\nHost: other\r\n\r\n"), chunked(BODY, end=b"0\r\n A: folded\r\n\r\n"),
    chunked(BODY, end=b"0\r\nno colon\r\n\r\n"), chunked(BODY, end=b"0\r\n"), chunked(BODY, end=b"0\r\n\r"),
    chunked(BODY, end=b"0\n\n"), chunked(BODY, end=b"000\r\n\r\n"), chunked(BODY, end=b"0;a=b\r\n\r\n"),
    chunked(BODY, end=b""), b"8\n" + BODY + b"\n0\n\n", b"8\r\n" + BODY + b"0\r\n\r\n",
    b"8\r\n" + BODY + b"\n0\r\n\r\n",
    b"8\r\n" + BODY + b"xx0\r\n\r\n", b"8\r\n" + BODY + b"\r0\r\n\r\n", b"9\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"7\r\n" + BODY + b"\r\n0\r\n\r\n", b"8\r" + BODY + b"\r\n0\r\n\r\n", b"\r\n8\r\n" + BODY + b"\r\n0\r\n\r\n",
]  # fmt: skip
SIZES = [
    b"8", b"08", b"0" * 14 + b"8", b"0" * 15 + b"8", b"0" * 16 + b"8", b"0" * 19 + b"8", b"0" * 20 + b"8",
    b"0" * 300 + b"8", b"8 ", b" 8", b"8\t", b"\t8", b"+8", b"-8", b"0x8", b"x8", b"8h", b"8;", b"8;a", b"8;a=b",
    b"8;a=b;c=d", b'8;a="b"', b'8;a="b;c"', b'8;a="b\\"c"', b"8 ;a=b", b"8; a=b", b"8;a =b", b"8;a= b", b"8;=b", b"8;;",
    b"8;a=\x00", b"8;a=\x7f", b"8;a=\xff", b"8;a=b\nc", b"8;a=b\rc", b"8;" + b"a" * 100, b"8;" + b"a" * 5000,
    b"8,8", b"8 8", b"", b" ", b"8_", b"0_8", b"\x008", b"8\x00", b"ffffffffffffffff8", b"10000000000000008",
    b"100000000000000008", b"fffffffffffffff0", b"7fffffffffffffff", b"8000000000000000", b"ffffffff", b"100000008",
    b"8\x0b", b"\xef\xbb\xbf8", b"8.0", b"8e0", b"A", b"a",
]  # fmt: skip
LINES = [
    b"GET /first HTTP/1.1", b"GET /first HTTP/1.0", b"GET /first HTTP/0.9", b"GET /first HTTP/2.0", b"GET /first",
    b"GET /first HTTP/1.2", b"GET /first HTTP/1.9", b"GET /first HTTP/1.10", b"GET /first HTTP/01.1", b"GET /first ",
    b"GET /first HTTP/11", b"GET /first HTTP/1,1", b"GET /first HTTP/1.", b"GET /first HTTP/.1", b"GET /first HTTP/",
    b"GET /first http/1.1", b"GET /first Http/1.1", b"GET /first HTTPS/1.1", b"GET /first HTTP /1.1",
    b"GET /first HTTP/ 1.1", b"GET /first HTTP/1.1 ", b"GET /first HTTP/1.1\t", b"GET /first HTTP/1.1 x",
    b"GET  /first HTTP/1.1", b"GET /first  HTTP/1.1", b"GET\t/first HTTP/1.1", b"GET /first\tHTTP/1.1",
    b" GET /first HTTP/1.1", b"\tGET /first HTTP/1.1", b"\r\nGET /first HTTP/1.1", b"\nGET /first HTTP/1.1",
    b"\r\n\r\n\r\nGET /first HTTP/1.1", b"\rGET /first HTTP/1.1", b"\x00GET /first HTTP/1.1", b"get /first HTTP/1.1",
    b"Get /first HTTP/1.1", b"G\x00ET /first HTTP/1.1", b"GE(T /first HTTP/1.1", b"X-TRY /first HTTP/1.1",
    b"BREW /first HTTP/1.1", b"M-SEARCH /first HTTP/1.1", b"PRI * HTTP/2.0", b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1",
    b"HEAD /first HTTP/1.1", b"DELETE /first HTTP/1.1", b"PUT /first HTTP/1.1", b"PATCH /first HTTP/1.1",
    b"TRACE /first HTTP/1.1", b"OPTIONS /first HTTP/1.1", b"CONNECT localhost:80 HTTP/1.1", b"CONNECT /first HTTP/1.1",
    b"SOURCE /first HTTP/1.1", b"QUERY /first HTTP/1.1", b"GET /first#part HTTP/1.1", b"GET /#/.. HTTP/1.1",
    b"GET /first?a=b HTTP/1.1", b"GET /first?a=b?c=d HTTP/1.1", b"GET /first?a#b HTTP/1.1", b"GET ? HTTP/1.1",
    b"GET first HTTP/1.1", b"GET //first HTTP/1.1", b"GET ///first HTTP/1.1", b"GET /./first HTTP/1.1",
    b"GET /../first HTTP/1.1", b"GET /a/../first HTTP/1.1", b"GET /%2e%2e/first HTTP/1.1", b"GET /%00 HTTP/1.1",
    b"GET /% HTTP/1.1", b"GET /%zz HTTP/1.1", b"GET /%2 HTTP/1.1", b"GET /%2F HTTP/1.1", b"GET /a%20b HTTP/1.1",
    b"GET /a b HTTP/1.1", b"GET /a\x00b HTTP/1.1", b"GET /a\x01b HTTP/1.1", b"GET /a\x7fb HTTP/1.1",
    b"GET /\xc3\xa4 HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /a\\b HTTP/1.1", b'GET /a"b HTTP/1.1',
    b"GET /a<b> HTTP/1.1", b"GET /a{b} HTTP/1.1", b"GET /a|b HTTP/1.1", b"GET /a^b HTTP/1.1", b"GET /a`b HTTP/1.1",
    b"GET http://localhost/first HTTP/1.1", b"GET HTTP://localhost/first HTTP/1.1", b"GET http://localhost HTTP/1.1",
    b"GET http://localhost:80/first HTTP/1.1", b"GET http://other/first HTTP/1.1", b"GET http://other HTTP/1.1",
    b"GET http:///first HTTP/1.1", b"GET http:/first HTTP/1.1", b"GET https://localhost/first HTTP/1.1",
    b"GET ftp://localhost/first HTTP/1.1", b"GET http://user@localhost/first HTTP/1.1",
    b"GET http://localhost?a=b HTTP/1.1", b"GET http://localhost/first?a=b HTTP/1.1", b"GET http://[::1]/a HTTP/1.1",
    b"GET http://localhost#x HTTP/1.1", b"GET javascript:x HTTP/1.1", b"GET localhost:80 HTTP/1.1", b"GET", b"",
    b"GET  HTTP/1.1", b"HTTP/1.1 200 OK", b"GET /" + b"a" * 2000 + b" HTTP/1.1", b"\x16\x03\x01\x02\x00\x01",
]  # fmt: skip
HEADERS = [
    b"X-A: b", b"X-A:b", b"X-A:  b  ", b"X-A:\tb\t", b"X-A: b c", b"X-A:", b"X-A: ", b"X-A : b", b"X-A\t: b",
    b" X-A: b",
    b"\tX-A: b", b"X A: b", b"X-A", b": b", b":", b"X-A: b: c", b"X-A: a\x00b", b"X-\x00A: b", b"X-A: a\x01b",
    b"X-A: a\x7fb", b"X-A: \xc3\xa4", b"X-A: \xff", b"X-\xc3\xa4: b", b"X(A: b", b"X,A: b", b"X/A: b", b"X[A: b",
    b"X{A: b", b'X"A: b', b"X@A: b", b"X=A: b", b"X\\A: b", b"X_A: b", b"X.A: b", b"X~A: b", b"X!A: b", b"X#A: b",
    b"X$A: b", b"X%A: b", b"X&A: b", b"X'A: b", b"X*A: b", b"X+A: b", b"X^A: b", b"X`A: b", b"X|A: b", b"1: b",
    b"X-A: b\r\n X-B: c", b"X-A: b\r\n\tc", b"X-A: b\r\n c\r\n d", b"X-A:\r\n b", b"X-A: b\r\n ", b"X-A: b\r\n\t\r\n c",
    b"X-A: b\nX-B: c", b"X-A: b\rX-B: c", b"X-A: b\r\r\nX-B: c", b"X-A: b\n\r\nX-B: c", b"X-A: b\n X-B: c",
    b"X-A: b\r\nX-A: c", b"X-A: b\r\nx-a: c", b"x-A: b", b"X-A: " + b"b" * 4000, b"X-A: b\x0bc", b"X-A: b\x0cc",
    b"Host: localhost", b"Host: other", b"Host:", b"HOST: localhost", b"Host : localhost", b"X-A: (b)", b'X-A: "b',
    b"Connection: close", b"Connection: keep-alive", b"Connection: Close, x", b"Connection: x",
    b"Connection: close, keep-alive",
    b"Connection: keep-alive\r\nConnection: close", b"Connection: upgrade\r\nUpgrade: websocket",
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    b"Connection: Upgrade\r\nUpgrade: TLS/1.2", b"Upgrade: h2c", b"Connection: upgrade",
    b"Connection: Upgrade\r\nUpgrade: x, y",
    b"Proxy-Connection: close", b"Keep-Alive: 5", b"Expect: 100-continue", b"Expect: 100-Continue", b"Expect: x",
    b"Expect:",
    b"Expect: 100-continue, x", b"TE: trailers", b"Trailer: X-A", b"Content-Type: text/plain", b"X-A: b;c,d",
]  # fmt: skip
HOSTS = [
    b"", b"Host: localhost\r\n", b"Host:localhost\r\n", b"Host: localhost:80\r\n", b"Host: localhost:8000\r\n",
    b"Host: \r\n",
    b"Host:\r\n", b"Host: LOCALHOST\r\n", b"Host: a b\r\n", b"Host: a,b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n",
    b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: [::1]\r\n", b"Host: [::1]:80\r\n", b"Host: [::1\r\n", b"Host: a:b\r\n",
    b"Host: a:\r\n", b"Host: :80\r\n", b"Host: a:80:80\r\n", b"Host: a:99999\r\n", b"Host: ..\r\n", b"Host: a\x00b\r\n",
    b"Host: \xc3\xa4\r\n", b"Host: a%20b\r\n", b"Host: a_b\r\n", b"Host: localhost\r\nHost: localhost\r\n",
    b"Host: localhost\r\nHost: other\r\n", b"Host: localhost\r\nX-A: b\r\nhost: localhost\r\n", b"Host: a.\r\n",
]  # fmt: skip
VERSIONS = [b"1.1", b"1.0"]
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]


def _framing() -> Iterator[Case]:
    for version, length in itertools.product(VERSIONS, LENGTHS):
        for body in (BODY, BODY + SECOND, b""):
            yield _one("length", post(b"Content-Length:" + b" " + length, body=body, version=version))
    for version, coding in itertools.product(VERSIONS, CODINGS):
        for body in (chunked(BODY), chunked(BODY) + SECOND, b""):
            yield _one("coding", post(b"Transfer-Encoding: " + coding, body=body, version=version))
    for version, length, coding in itertools.product(VERSIONS, LENGTHS[:8], CODINGS):
        given = [b"Content-Length: " + length, b"Transfer-Encoding: " + coding]
        yield _one("both", post(*given, body=chunked(BODY) + SECOND, version=version))
        yield _one("both", post(*given[::-1], body=chunked(BODY) + SECOND, version=version))
    yield from _twice()


def _twice() -> Iterator[Case]:
    for one, other in itertools.product(LENGTHS[:17], LENGTHS[:3]):
        given = [b"Content-Length: " + one, b"Content-Length: " + other]
        yield _one("two lengths", post(*given, body=BODY + SECOND))
    for one, other in itertools.product(CODINGS[:21], [b"chunked", b"identity", b"gzip"]):
        given = [b"Transfer-Encoding: " + one, b"Transfer-Encoding: " + other]
        yield _one("two codings", post(*given, body=chunked(BODY) + SECOND))
    for name in (
        b"Content-Length ",
        b"Content-Length\t",
        b"Content_Length",
        b" Content-Length",
        b"content-length",
        b"CONTENT-LENGTH",
    ):
        yield _one("name of a length", post(name + b": 8", body=BODY + SECOND))
    for name in (
        b"Transfer-Encoding ",
        b"Transfer-Encoding\t",
        b"Transfer_Encoding",
        b"transfer-encoding",
        b"Transfer-Encoding\r\n",
    ):
        yield _one("name of a coding", post(name + b": chunked", body=chunked(BODY) + SECOND))
    for method, headers in itertools.product(METHODS, ([b"Content-Length: 8"], [b"Transfer-Encoding: chunked"], [])):
        body = {0: b"", 1: BODY if b"Length" in b"".join(headers) else chunked(BODY)}[len(headers)]
        yield _one("method", method + post(*headers, body=body + SECOND)[4:])


def _chunks() -> Iterator[Case]:
    for body in CHUNKED_BODIES:
        for after in (b"", SECOND):
            yield _one("chunks", post(b"Transfer-Encoding: chunked", body=body + after))
    for size in SIZES:
        for after in (b"", SECOND):
            body = size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
            yield _one("size", post(b"Transfer-Encoding: chunked", body=body + after))
    for header in HEADERS:
        body = chunked(BODY, end=b"0\r\n" + header + b"\r\n\r\n")
        yield _one("trailer", post(b"Transfer-Encoding: chunked", body=body + SECOND))
    for count in (10, 99, 100, 101, 200):
        body = chunked(BODY, end=b"0\r\n" + b"X-A: b\r\n" * count + b"\r\n")
        yield _one("many trailers", post(b"Transfer-Encoding: chunked", body=body + SECOND))
    for count in (10, 1_000):
        yield _one("many chunks", post(b"Transfer-Encoding: chunked", body=chunked(*[b"a"] * count) + SECOND))


def _heads() -> Iterator[Case]:
    for line in LINES:
        for host in (HOST, b""):
            yield _one("line", line + b"\r\n" + host + b"\r\n")
        yield _one("line", line + b"\r\n" + HOST + b"\r\n" + SECOND)
    for header, version in itertools.product(HEADERS, VERSIONS):
        yield _one("header", b"GET /first HTTP/" + version + b"\r\n" + HOST + header + b"\r\n\r\n")
        yield _one("header", b"GET /first HTTP/" + version + b"\r\n" + header + b"\r\n" + HOST + b"\r\n" + SECOND)
        yield _one("header", post(header, b"Content-Length: 8", body=BODY + SECOND, version=version))
        yield _one("header", post(header, b"Transfer-Encoding: chunked", body=chunked(BODY) + SECOND, version=version))
    for host, version in itertools.product(HOSTS, VERSIONS):
        yield _one("host", b"GET /first HTTP/" + version + b"\r\n" + host + b"\r\n" + SECOND)
        yield _one("host", b"GET http://localhost/first HTTP/" + version + b"\r\n" + host + b"\r\n")
    for count in (10, 90, 99, 100, 101, 200, 1_000):
        yield _one("many headers", b"GET /first HTTP/1.1\r\n" + HOST + b"X-A: b\r\n" * count + b"\r\n" + SECOND)
    yield from _signs()


def _signs() -> Iterator[Case]:
    for end in (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\t\r\n", b"\x00\r\n"):
        for at in range(4):
            ends = [b"\r\n"] * 4
            ends[at] = end
            lines = [b"GET /first HTTP/1.1", b"Host: localhost", b"X-A: b", b""]
            yield _one("end of line", b"".join(line + ended for line, ended in zip(lines, ends, strict=True)) + SECOND)
    for byte in range(256):
        sign = bytes([byte])
        yield _one("byte of a value", b"GET /first HTTP/1.1\r\n" + HOST + b"X-A: a" + sign + b"b\r\n\r\n")
        yield _one("byte of a name", b"GET /first HTTP/1.1\r\n" + HOST + b"X" + sign + b"A: b\r\n\r\n")
        yield _one("byte of a target", b"GET /a" + sign + b"b HTTP/1.1\r\n" + HOST + b"\r\n")
        yield _one("byte of a method", b"GE" + sign + b"T /first HTTP/1.1\r\n" + HOST + b"\r\n")


def _pipelines() -> Iterator[Case]:
    parts = {
        "get": b"GET /one HTTP/1.1\r\n" + HOST + b"\r\n",
        "post": post(b"Content-Length: 8", body=BODY),
        "fast path": post(b"Content-Length: 8", body=BODY).replace(b"/first", b"/predict/"),
        "chunked": post(b"Transfer-Encoding: chunked", body=chunked(b"abc", b"de")),
        "head": b"HEAD /two HTTP/1.1\r\n" + HOST + b"\r\n",
        "last": b"GET /three HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        "old": b"GET /four HTTP/1.0\r\n" + HOST + b"\r\n",
        "bad": b"GET /five HTTP/1.1\r\nno colon\r\n\r\n",
        "upgrade": b"GET /six HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "empty": b"\r\n",
    }
    for count in (2, 3):
        for names in itertools.product(parts, repeat=count):
            if count == 2 or "bad" not in names[:1]:
                yield _one("pipeline of " + ", ".join(names), b"".join(parts[name] for name in names))
    yield _one("pipeline of fifty", parts["get"] * 50)
    yield _one("pipeline of fifty, fast path", parts["fast path"] * 50)


def _segments() -> Iterator[Case]:
    whole = {
        "get": b"GET /first?a=b HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\r\n",
        "post": post(b"Content-Length: 8", body=BODY) + SECOND,
        "fast path": post(b"Content-Length: 8", body=BODY).replace(b"/first", b"/predict/") + SECOND,
        "chunked": post(b"Transfer-Encoding: chunked", body=chunked(b"abc", b"de", end=b"0\r\nX-T: u\r\n\r\n"))
        + SECOND,
        "extension": post(b"Transfer-Encoding: chunked", body=b"8;a=b\r\n" + BODY + b"\r\n0\r\n\r\n"),
        "both": post(b"Content-Length: 8", b"Transfer-Encoding: chunked", body=chunked(BODY)),
        "upgrade": post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 8", body=BODY) + SECOND,
        "smuggled": post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: %d" % len(SECOND), body=SECOND),
        "bad": b"GET /first HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    }
    for name, data in whole.items():
        for at in range(1, len(data)):
            yield Case(f"{name} cut at {at}", (data[:at], data[at:]))
        yield Case(f"{name} byte by byte", tuple(data[at : at + 1] for at in range(len(data))))


def _recorded() -> Iterator[Case]:
    for name, data in RECORDED.items():
        yield _one(f"recorded from {name}", data)
        yield _one(f"recorded from {name}, twice", data * 2)
        for at in range(1, len(data), 17):
            yield Case(f"recorded from {name}, cut at {at}", (data[:at], data[at:]))


def _changed(seed: int, count: int) -> Iterator[Case]:
    """Requests with some bytes taken out, doubled, swapped or replaced by those that parsers trip over."""
    draw = random.Random(seed)
    whole = [case.whole for case in itertools.chain(_pipelines(), _chunks(), _recorded()) if len(case.whole) < 600]
    signs = [b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b":", b",", b";", b"0", b"\x0b", b"\xff", b"/", b"#", b"%"]
    for number in range(count):
        data = bytearray(draw.choice(whole))
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            at = draw.randrange(len(data))
            kind = draw.randrange(4)
            if kind == 0:
                del data[at]
            elif kind == 1:
                data[at:at] = draw.choice(signs)
            elif kind == 2:
                data[at : at + 1] = draw.choice(signs)
            else:
                other = draw.randrange(len(data))
                data[at], data[other] = data[other], data[at]
        yield _one(f"changed {number}", bytes(data))


def _one(name: str, data: bytes) -> Case:
    return Case(name, (data,) if data else ())


def every_case(changed: int) -> list[Case]:
    """All cases, each bytes once, and so many changed at random."""
    made = itertools.chain(
        _recorded(), _framing(), _chunks(), _heads(), _pipelines(), _segments(), _changed(20_261_127, changed)
    )
    return list({case.pieces: case for case in made if case.pieces}.values())
