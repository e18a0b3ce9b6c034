"""Bounds of what connections hold: the bytes of all of them together, and what stands around a chunked body."""

from typing import SupportsIndex

from ai_platform.errors import HeadersTooLarge

# What one chunk may have around it for nothing: its size, line ends, a short extension. Beyond that, twice what it
# carries. Go's net/http counts so, since the sizes of small chunks are larger than what is in them (CVE-2023-39326).
FREE_BYTES_A_CHUNK = 16
FREE_BYTES_A_BYTE = 2


class Room:
    """How much the connections of one process hold: unfinished heads, bodies, pipelined requests, unread answers.

    Args:
        limit: bytes that they may hold together.

    Attributes:
        used: bytes that they hold.
        leaving: connections that were closed to make room for others, and are not gone yet.
    """

    __slots__ = ("leaving", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.leaving = 0

    @property
    def is_over(self) -> bool:
        """Whether they hold more than they may."""
        return self.used > self.limit


class Trailers(list[tuple[bytes, bytes]]):
    """Stands where a request's headers are gathered, once they are whole: counts what comes, and keeps nothing.

    A trailer says nothing here (RFC 9110, section 6.5.1): no key, no host, no address of a caller.

    Args:
        limit: bytes that trailers may have together.
        most: how many there may be.
    """

    def __init__(self, limit: int, most: int) -> None:
        super().__init__()
        self._limit = limit
        self._left = limit
        self._most = most

    def append(self, header: tuple[bytes, bytes], /) -> None:
        """Count a trailer.

        Raises:
            HeadersTooLarge: there are too many, or they are too large together.
        """
        self._left -= len(header[0]) + len(header[1]) + 4
        self._most -= 1
        if self._left < 0 or self._most < 0:
            raise HeadersTooLarge(f"trailers may have {self._limit} bytes together")

    def insert(self, _index: SupportsIndex, header: tuple[bytes, bytes], /) -> None:
        """The same as `append`."""
        self.append(header)


class Surplus:
    """Bytes of a body's framing beyond what its chunks have for nothing: extensions, trailers, needless small chunks.

    Args:
        limit: bytes that there may be.
    """

    __slots__ = ("_bytes", "_chunks", "_content", "_fed", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = self._fed = self._content = self._chunks = 0

    def is_too_large(self, fed: int, content: int, chunks: int) -> bool:
        """Look at it again after more has come.

        Args:
            fed: bytes of the request's body so far, its framing included.
            content: bytes of them that the framing carries.
            chunks: how many chunks have begun.
        """
        free = FREE_BYTES_A_CHUNK * (chunks - self._chunks) + (1 + FREE_BYTES_A_BYTE) * (content - self._content)
        self._bytes = max(0, self._bytes + fed - self._fed - free)
        self._fed, self._content, self._chunks = fed, content, chunks
        return self._bytes > self._limit
