"""The end of an API process, over real sockets: what was sent is answered, and each answer says that it is the last."""

import http.client
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from ai_platform.api.draining import DrainingServer
from ai_platform.api.server.serve import server as api_server
from ai_platform.settings import Settings
from api_in_thread import live
from harness import SAMPLE, eventually, free_port

BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
POST = b"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\r\n"
READY = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def ending(module_settings: Settings) -> Iterator[tuple[DrainingServer, int, threading.Thread]]:
    """A server in a thread, its port, and a minute of patience once it drains."""
    api = module_settings.api.model_copy(
        update={"port": free_port(), "drain_seconds": 60, "shutdown_delay_seconds": 0.5}
    )
    server = api_server(module_settings.model_copy(update={"api": api}))
    thread = threading.Thread(target=server.run, name="ending API")
    thread.start()
    url = f"http://127.0.0.1:{api.port}"
    eventually(lambda: server.started and httpx.get(f"{url}/health/ready").status_code == 200, 20, "it is ready")
    yield server, api.port, thread
    server.should_exit = server.force_exit = True
    thread.join(15)
    assert not thread.is_alive()


def answer(connection: socket.socket) -> tuple[int, str, bytes]:
    """Status, the header Connection, and the body of the next answer."""
    found = http.client.HTTPResponse(connection)
    found.begin()
    return found.status, found.getheader("connection", ""), found.read()


def is_closed(connection: socket.socket) -> bool:
    return connection.recv(1) == b""


def refuses(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            return False
    except ConnectionRefusedError:
        return True


def test_a_server_that_drains_answers_everything_once_more(
    ending: tuple[DrainingServer, int, threading.Thread],
) -> None:
    server, port, thread = ending
    with ExitStack() as held:
        connect: Callable[[], socket.socket] = lambda: held.enter_context(  # noqa: E731
            socket.create_connection(("127.0.0.1", port), timeout=10)
        )
        idle, probe, busy, silent = connect(), connect(), connect(), connect()
        for used, request in ((idle, POST + BODY), (probe, READY)):
            used.sendall(request)
            assert answer(used)[:2] == (200, "")
        busy.sendall(POST + BODY[:5])
        job = httpx.post(f"http://127.0.0.1:{port}/predict/async", json=SAMPLE).json()["id"]
        waiting, following = connect(), connect()
        waiting.sendall(f"GET /jobs/{job}?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        following.sendall(f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stream = http.client.HTTPResponse(following)
        stream.begin()
        assert stream.readline()
        eventually(lambda: len(server.server_state.connections) == 6)
        server.handle_exit(signal.SIGTERM, None)
        probe.sendall(READY)
        assert answer(probe)[:2] == (503, "close")
        assert answer(waiting)[:2] == (200, "close"), "as the job is, long before its wait is over"
        assert stream.read().endswith(b"\n\n"), "a stream ends whole, and its caller comes back"
        following.close()
        stream.close()
        late = connect()  # readiness is refused before connections are
        eventually(lambda: refuses(port))
        busy.sendall(BODY[5:])
        for sends in (idle, silent, late):
            sends.sendall(POST + BODY)
        for last in (idle, busy, silent, late):
            status, connection, body = answer(last)
            assert (status, connection) == (200, "close"), body
            assert is_closed(last)
        assert is_closed(probe)
        thread.join(15)
        assert not thread.is_alive(), "it ends as soon as nobody is left"


def test_an_idle_connection_does_not_hold_up_an_end_that_is_hurried(module_settings: Settings) -> None:
    api = module_settings.api.model_copy(update={"drain_seconds": 60})
    with ExitStack() as held, live(module_settings.model_copy(update={"api": api})) as url:
        idle = held.enter_context(httpx.Client(base_url=url))
        assert idle.get("/health/live").status_code == 200
