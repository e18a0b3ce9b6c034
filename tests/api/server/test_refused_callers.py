"""A caller who was refused for want of room is answered at once, and read again a little later."""

import asyncio
import socket
import time
from typing import Any

import pytest
import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from ai_platform.api.draining import Lifecycle
from ai_platform.api.prediction.paths import PredictionPath
from ai_platform.api.server.protocol import REFUSED_SECONDS, bounded
from ai_platform.serving.resolver import Target
from ai_platform.settings import LimitSettings

pytestmark = pytest.mark.quick

REQUEST = b"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
TIMES = 12


class SameAnswer:
    """Answers every request alike."""

    targets = {b"/predict/": PredictionPath(Target("iris"), later=False, route="/predict/", tally=None)}  # noqa: RUF012

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def answer(self, *_given: Any) -> bytes:
        return self._answer


def asked(answer: bytes, times: int) -> float:
    """Seconds of a caller who sends when the answer has come, so many times; then the connection is closed."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        config = Config(lambda *_: None, log_config=None)
        config.load()
        state = ServerState()
        kind = bounded(LimitSettings(), SameAnswer(answer), Lifecycle())  # type: ignore[arg-type]
        made = lambda: kind(config=config, server_state=state, app_state={})  # noqa: E731
        server = await loop.create_server(made, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as caller:
            caller.setblocking(False)
            begun = time.perf_counter()
            for _ in range(times):
                await loop.sock_sendall(caller, REQUEST)
                assert await asyncio.wait_for(loop.sock_recv(caller, 4096), 5) == answer
            seconds = time.perf_counter() - begun
        async with asyncio.timeout(5):
            while state.connections:  # noqa: ASYNC110  # its end is seen although it was not read
                await asyncio.sleep(0)
        server.close()
        return seconds

    return uvloop.run(run())


def test_who_is_refused_and_asks_again_at_once_is_slowed_down() -> None:
    assert asked(REFUSAL, TIMES) >= (TIMES - 1) * REFUSED_SECONDS * 0.9
