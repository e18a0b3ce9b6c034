"""Bare ASGI: what the server by itself can do."""

from collections.abc import Awaitable, Callable
from typing import Any


def constant(answer: bytes) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """An application that reads the body, and answers these bytes."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": answer}

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await send(start)
        await send(body)

    return bare
