"""A server that closes connections, in the good way and in the bad ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def closing_server(answers: list[bytes]) -> AsyncIterator[int]:
    """Gives the answers in turn, one a request, and the last for ever; an empty one resets the connection.

    An answer with `Connection: close` closes it. Yields the port.
    """
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            answer = left.pop(0) if len(left) > 1 else left[0]
            if not answer:
                writer.transport.abort()
                return
            writer.write(answer)
            if b"Connection: close" in answer:
                return

    async with server_of(serve) as port:
        yield port


@asynccontextmanager
async def server_of(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Any server of connections; ends when all of them have. Yields the port."""
    serving: set[asyncio.Task[None]] = set()

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async with await asyncio.start_server(noted, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    if serving:
        await asyncio.wait(serving, timeout=5)
    await asyncio.sleep(0)


def answer(status: str, body: bytes = b"{}", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body
