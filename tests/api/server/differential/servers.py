"""The servers whose understanding is compared: ours, h11 and nginx, each with an application that tells what it saw."""

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import h11
import uvicorn

from ai_platform.api.draining import Lifecycle
from ai_platform.api.http.asgi import Receive, Scope, Send
from ai_platform.api.http.hosts import Hosts
from ai_platform.api.http.middleware import Middleware
from ai_platform.api.http.request_head import Headers, RequestHead
from ai_platform.api.prediction.fast_path import FastPath
from ai_platform.api.prediction.paths import PredictionPath, PredictionPaths
from ai_platform.api.server.serve import configuration
from ai_platform.serving.bootstrap import Services
from ai_platform.serving.resolver import Target
from ai_platform.settings import ApiSettings, load
from api.server.differential.observing import SEEN, Request, Seen, encoded, request_of

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
_OK = b"HTTP/1.1 200 OK\r\n%s: %s\r\ncontent-length: 0\r\n\r\n"
# nginx as it is used in front of an application, with what may not be left out of a comparison: every name of a header,
# and the target as it was sent. `return` answers nothing that has a body, so a backend tells what came.
_CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  underscores_in_headers on; ignore_invalid_headers off;
  client_max_body_size 0; large_client_header_buffers 8 32k; keepalive_timeout 75s;
  lingering_close off; proxy_buffer_size 128k; proxy_buffers 8 128k; proxy_busy_buffers_size 256k;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{backend};
      proxy_set_header Host $http_host; proxy_set_header X-Target $request_uri; proxy_set_header Connection close;
    }}
  }}
}}
"""


async def _tell(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers each request with what it is."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    told = encoded(request_of(scope["method"], target.decode("latin-1"), headers, body))
    start = {"type": "http.response.start", "status": 200}
    await send({**start, "headers": [(SEEN.encode(), told.encode()), (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class _TellingFastPath(FastPath):
    """The fast path with the same application behind it; what it leaves to the slow path, it leaves here too."""

    def answer(self, path: PredictionPath, head: RequestHead, body: bytes, given: Headers) -> bytes | None:  # noqa: ARG002  # as there
        if head.repeats or not self._unread.isdisjoint(head.named) or not self._hosts.knows(head.named.get(b"host")):
            return None
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        told = encoded(request_of(head.method, head.raw_path.decode("latin-1"), headers, body))
        return _OK % (SEEN.encode(), told.encode())


def our_configuration(port: int) -> uvicorn.Config:
    """The platform's own protocol and middleware, with its default bounds, on a port; `/predict/` by the fast path."""
    api, lifecycle = ApiSettings(allowed_hosts=["*"]), Lifecycle()
    settings = load(database_url="postgresql://nowhere/none", redis_url="redis://nowhere", api=api)
    hosts, config = Hosts(api.allowed_hosts), configuration(settings, lifecycle)
    fast_path = _TellingFastPath(PredictionPaths("iris"), Services(settings), hosts)
    fast_path.targets = {b"/predict/": PredictionPath(Target("iris"), later=False, route="/predict/", tally=None)}
    assert isinstance(config.http, type)
    config.http.fast_path = fast_path  # type: ignore[attr-defined]
    config.app, config.host, config.port = Middleware(_tell, hosts), "127.0.0.1", port
    config.lifespan, config.date_header = "off", False
    return config


@contextlib.asynccontextmanager
async def ours(port: int) -> AsyncIterator[None]:
    """The platform's way of reading, on a port of loopback."""
    config = our_configuration(port)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield
    finally:
        await server.shutdown()


def h11_saw(pieces: list[bytes]) -> Seen:
    """What h11 sees, each piece given to it by itself."""
    connection, requests, begun = h11.Connection(h11.SERVER), list[Request](), list[Any]()
    try:
        for piece in pieces:
            connection.receive_data(piece)
            _read(connection, requests, begun)
            if connection.our_state is h11.MUST_CLOSE:
                return Seen(tuple(requests), "closed")
    except h11.RemoteProtocolError as error:
        return Seen((*requests, error.error_status_hint), "closed")
    return Seen(tuple(requests), "open")


def _read(connection: h11.Connection, requests: list[Request], begun: list[Any]) -> None:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            begun[:] = [event, b""]
        elif isinstance(event, h11.Data):
            begun[1] += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            head = begun[0]
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
            if head.method == b"CONNECT":  # whose answer with 200 would open a tunnel; no server here is a proxy
                raise h11.RemoteProtocolError("no tunnel", error_status_hint=501)
            requests.append(request_of(head.method.decode(), head.target.decode("latin-1"), headers, begun[1]))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()
        else:  # NEED_DATA, PAUSED
            return


async def _backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What nginx passes on: one request a connection, of HTTP/1.0 and with its whole length."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        named = dict(headers)
        body = await reader.readexactly(int(named.get("content-length", "0")))
        told = encoded(request_of(first.split(" ")[0], named["x-target"], headers, body))
        writer.write(_OK % (SEEN.encode(), told.encode()))
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def behind_nginx(port: int) -> AsyncIterator[None]:
    """What nginx passes on is told by this backend."""
    server = await asyncio.start_server(_backend, "127.0.0.1", port, backlog=1024)
    try:
        yield
    finally:
        server.close()


@contextlib.contextmanager
def nginx(folder: Path, port: int, backend: int) -> Iterator[None]:
    """nginx on a port of loopback."""
    assert NGINX is not None
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, backend=backend))
    command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            _wait_for(port, process)
            yield
        finally:
            process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    import socket

    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    raise AssertionError("nginx did not listen")
