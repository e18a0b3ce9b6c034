"""Reading a request's body within its bounds: media type, and size as it streams. Its time is the protocol's."""

from ai_platform.api.http.asgi import Receive, Scope
from ai_platform.errors import BodyTooLarge, InvalidHeader, UnsupportedMediaType


async def read_json_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body of a JSON request, of at most `limit` bytes.

    Raises:
        UnsupportedMediaType: it is not `application/json`, or it is compressed.
        BodyTooLarge: more than that, announced or streamed.
        InvalidHeader: the client left, or ran out of time, before its body was whole.
    """
    _check_headers(scope["headers"], limit)
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidHeader("the client left before its body was whole")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > limit:
            raise BodyTooLarge(_too_large(limit))
        if not message.get("more_body", False):
            return body


def _too_large(limit: int) -> str:
    return (
        f"the body may have {limit} bytes (AI_PLATFORM_LIMITS__BODY_BYTES); split its rows into several requests or"
        " jobs, as `ai-platform predict NAME --file FILE` does"
    )


def _check_headers(headers: list[tuple[bytes, bytes]], limit: int) -> None:
    media_type = b""
    for name, value in headers:
        if name == b"content-type":
            media_type = value
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedMediaType("compressed bodies are not read; send it without Content-Encoding")
        elif name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise BodyTooLarge(_too_large(limit))
    if media_type != b"application/json":
        _check_media_type(media_type)


def _check_media_type(media_type: bytes) -> None:
    name, _, parameters = media_type.decode("latin-1").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if name.strip() != "application/json" or charset not in {"", "utf-8"}:
        raise UnsupportedMediaType("the body must be sent as Content-Type: application/json")
