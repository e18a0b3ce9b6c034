"""Connections that arrive together are accepted together, however much the loop has to do besides."""

import asyncio
import contextlib
import socket

import pytest
import uvloop

from ai_platform.api.server.sharing import Acceptor, Counts

pytestmark = pytest.mark.quick

CALLERS = 40


class Greeting(asyncio.Protocol):
    """Notes in which round of the loop it was made."""

    def __init__(self, rounds: list[int], now: list[int]) -> None:
        self._rounds, self._now = rounds, now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._rounds.append(self._now[0])
        transport.close()


@pytest.mark.parametrize("neighbours", [0, 1])
def test_who_connects_together_is_accepted_together(neighbours: int) -> None:
    rounds: list[int] = []
    now = [0]

    async def serve(waiting: socket.socket) -> None:
        counts = Counts(1 + neighbours)
        if neighbours:
            counts.set(1, CALLERS)  # which holds as many already
        acceptor = Acceptor([waiting], lambda: Greeting(rounds, now), counts, 0, lambda: len(rounds))
        async with asyncio.timeout(10):
            while len(rounds) < CALLERS:  # each turn of the loop is counted
                now[0] += 1
                await asyncio.sleep(0)
        acceptor.close()

    with socket.socket() as listening, contextlib.ExitStack() as callers:
        listening.bind(("127.0.0.1", 0))
        listening.listen(CALLERS)
        listening.settimeout(0)
        for _ in range(CALLERS):
            callers.enter_context(socket.create_connection(listening.getsockname()))
        uvloop.run(serve(listening.dup()))
    assert rounds[-1] - rounds[0] < CALLERS / 4
