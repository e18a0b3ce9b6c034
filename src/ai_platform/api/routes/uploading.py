"""Taking a file from a request: to disk as it streams, bounded in size, in time, and in how many at once."""

import asyncio

from ai_platform.api.http.asgi import Receive, Scope
from ai_platform.errors import InvalidHeader, Overloaded, RequestTimedOut, UnsupportedMediaType
from ai_platform.models.registry.uploads import Upload

AT_ONCE = 2
UPLOAD_SECONDS = 600.0
# What arrived is handed to a thread in pieces of this size, so that the loop waits for no disk.
WRITTEN_BYTES = 1_048_576

_turns = asyncio.Semaphore(AT_ONCE)


async def take(scope: Scope, receive: Receive, upload: Upload) -> tuple[bytes, int]:
    """Read a whole body of `application/octet-stream`, and keep it.

    Returns:
        Its sha256 (32 bytes) and its size in bytes.

    Raises:
        UnsupportedMediaType: it is something else, or it is compressed.
        BodyTooLarge: it is larger than `models.upload_mb`.
        RequestTimedOut: it did not arrive within ten minutes.
        Overloaded: as many files arrive as this process takes at once.
        StorageUnavailable: PostgreSQL is away.
    """
    _check_headers(scope["headers"])
    if _turns.locked():
        raise Overloaded("other files are being received; try again", retry_after=5)
    async with _turns:
        with upload:
            try:
                async with asyncio.timeout(UPLOAD_SECONDS):
                    await _read(receive, upload)
            except TimeoutError:
                raise RequestTimedOut(f"a file must arrive within {UPLOAD_SECONDS:g} s") from None
            return await asyncio.to_thread(upload.keep), upload.size


async def _read(receive: Receive, upload: Upload) -> None:
    held = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidHeader("the client left before its file was whole")
        held += message.get("body", b"")
        more = message.get("more_body", False)
        if len(held) >= WRITTEN_BYTES or not more:
            await asyncio.to_thread(upload.write, bytes(held))
            held.clear()


def _check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    given = dict(headers)
    if given.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaType("compressed bodies are not read; send it without Content-Encoding")
    if given.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/octet-stream":
        raise UnsupportedMediaType("a file must be sent as Content-Type: application/octet-stream")
