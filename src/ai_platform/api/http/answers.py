"""The one place that writes an answer, and the one that writes an error, whichever path a request takes."""

from ai_platform.api.http.asgi import Send
from ai_platform.api.http.request_head import Headers
from ai_platform.codecs.codec import Codec
from ai_platform.errors import PlatformError


async def send_answer(send: Send, status: int, content_type: str, body: bytes, headers: Headers) -> None:
    """Answer with a whole body."""
    own = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    await _send(send, status, [*own, *headers], body)


async def send_error(send: Send, codec: Codec, error: PlatformError) -> None:
    """Answer with a fact in the protocol's form."""
    await _send(send, *encoded_error(codec, error))


def encoded_error(codec: Codec, error: PlatformError) -> tuple[int, Headers, bytes]:
    """A fact in the protocol's form, as it goes to a connection.

    Returns:
        Status, headers with the body's length among them, and body.
    """
    status, named, body = codec.error(error)
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    return status, [*headers, (b"content-length", b"%d" % len(body))], body


def internal() -> PlatformError:
    """What a caller is told of an error of ours: that it is, and nothing of its inside."""
    return PlatformError("an error of the server; its log has the request id")


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
