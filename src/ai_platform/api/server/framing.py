"""What of a request's head could be understood in two ways, and is therefore refused (RFC 9112).

The parser (llhttp, strict) refuses bare line feeds, folded headers, NUL, repeated or signed lengths, and a length
beside a transfer coding. What it lets pass is found here. Nothing of this is asked of a request on the fast path:
its path is one that is known, it is HTTP/1.1, no header is repeated, and its host was looked at before.
"""

import re
from urllib.parse import urlsplit

from ai_platform.api.http.request_head import Headers
from ai_platform.errors import HttpVersionNotSupported, MalformedRequest, NotImplementedHere

VERSIONS = frozenset({"1.0", "1.1"})
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
_PORTS = {"http": ":80", "https": ":443"}


def check_framing(method: bytes, version: str, url: bytes, headers: Headers) -> None:
    """Look at a head that the parser took.

    Args:
        method: in capitals.
        version: of HTTP, as `1.1`.
        url: the request's target, as it was sent.
        headers: names in lower case.

    Raises:
        HttpVersionNotSupported: it is neither HTTP/1.0 nor 1.1.
        MalformedRequest: its target, Host or framing has two meanings.
        NotImplementedHere: it asks for a tunnel or a transfer coding.
    """
    if version not in VERSIONS:
        raise HttpVersionNotSupported("only HTTP/1.1 and HTTP/1.0 are spoken here")
    if method == b"CONNECT":
        raise NotImplementedHere("this server is no proxy and opens no tunnel")
    if b"#" in url:
        raise MalformedRequest("the target of a request has no fragment")
    hosts = [value for name, value in headers if name == b"host"]
    _check_hosts(hosts, version)
    _check_coding([value for name, value in headers if name == b"transfer-encoding"], version)
    if not url.startswith(b"/"):
        _check_target(method, url, hosts)


def head_without_upgrade(method: bytes, version: str, url: bytes, headers: Headers) -> bytes:
    """The same head without its offer of another protocol, to be parsed again."""
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, url, version.encode("ascii"), b"".join(lines))


def _check_hosts(hosts: list[bytes], version: str) -> None:
    if len(hosts) != 1 and (hosts or version != "1.0"):
        raise MalformedRequest("a request names one Host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest("Host is a name or an address, and perhaps a port")


def _check_coding(codings: list[bytes], version: str) -> None:
    """A body is chunked or not; the parser has seen that `chunked` is the last coding, and stands there once."""
    if not codings:
        return
    if version == "1.0":
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding")
    if b",".join(codings).strip().lower() != b"chunked":
        raise NotImplementedHere("of the transfer codings only chunked is read")


def _check_target(method: bytes, url: bytes, hosts: list[bytes]) -> None:
    """Of RFC 9112, section 3.2: the absolute form for the host that Host names, or `*` with OPTIONS."""
    if url == b"*" and method == b"OPTIONS":
        return
    try:
        parts = urlsplit(url.decode("ascii"))
    except ValueError:
        raise MalformedRequest("the target of a request is a path") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.netloc:
        raise MalformedRequest("the target of a request is a path")
    named = hosts[0].decode("latin-1") if hosts else parts.netloc
    if _with_port(parts.netloc, scheme) != _with_port(named, scheme):
        raise MalformedRequest("the target of the request and its Host name different hosts")


def _with_port(authority: str, scheme: str) -> str:
    """The authority in one spelling: in lower case, and with a port."""
    name, colon, port = authority.lower().rpartition(":")
    if not colon or "]" in port:
        return authority.lower() + _PORTS[scheme]
    return f"{name}:{port}" if port else name + _PORTS[scheme]
