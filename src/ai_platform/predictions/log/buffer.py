"""What waits to be written to the prediction log: so many rows and bytes, and no more."""

from collections import deque
from typing import NamedTuple
from uuid import UUID

from ai_platform.inputs.decoder import InstanceDecoder

# Of one process. Beyond either, predictions are dropped and counted.
MOST_ROWS = 10_000
MOST_BYTES = 32_000_000


class LogRecord(NamedTuple):
    """One prediction that is due for the log.

    Attributes:
        id: the prediction's id, of version 7, so that it says when.
        model: the model's name.
        version: its number.
        owner: whose key asked.
        key_id: which key; None while authentication is off.
        request_id: of the request.
        rows: how many instances it had.
        seconds: in the service, from decoding to the encoded answer.
        cache: `hit`, `miss` or `bypass`; None when the model failed.
        code: of the error, when the model failed.
        body: the request's body; None when it is not kept.
        output: the encoded result object without its id; None when it is not kept, or there is none.
        decoder: reads the body again.
    """

    id: UUID
    model: str
    version: int
    owner: str
    key_id: str | None
    request_id: str | None
    rows: int
    seconds: float
    cache: str | None
    code: str | None
    body: bytes | None
    output: bytes | None
    decoder: InstanceDecoder

    @property
    def size(self) -> int:
        """Bytes of what is kept."""
        return len(self.body or b"") + len(self.output or b"")


class Buffer:
    """Filled by the event loop, emptied by one thread; each has a count of bytes of its own, so that no lock is needed.

    Args:
        most_rows: rows that it holds.
        most_bytes: bytes that they may hold together.
    """

    def __init__(self, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES) -> None:
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._waiting: deque[LogRecord] = deque()
        self._put = 0
        self._taken = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, noted: LogRecord) -> bool:
        """Add one; False when there is no room for it."""
        size = noted.size
        if len(self._waiting) >= self._most_rows or self._put - self._taken + size > self._most_bytes:
            return False
        self._put += size
        self._waiting.append(noted)
        return True

    def take(self) -> LogRecord | None:
        """The oldest one, or None."""
        if not self._waiting:
            return None
        noted = self._waiting.popleft()
        self._taken += noted.size
        return noted
