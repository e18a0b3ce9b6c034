"""How long a caller waits, said in a header: `X-Request-Timeout-Ms`."""

import re
import time

from ai_platform.api.http.request_head import RequestHead
from ai_platform.errors import InvalidHeader

HEADER = b"x-request-timeout-ms"
LONGEST_MS = 30_000
_MILLISECONDS = re.compile(rb"[1-9][0-9]{0,4}")


def timeout_of(head: RequestHead) -> float | None:
    """Seconds that the caller gives the request; None when it does not say.

    Raises:
        InvalidHeader: it is no whole number of milliseconds from 1 to 30000, or said twice.
    """
    given = head.all(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _MILLISECONDS.fullmatch(given[0]) or int(given[0]) > LONGEST_MS:
        raise InvalidHeader(f"X-Request-Timeout-Ms must be one whole number from 1 to {LONGEST_MS}")
    return int(given[0]) / 1_000


def deadline_of(head: RequestHead) -> float | None:
    """The same as a moment on the monotonic clock, counted from now: to be called when the request has arrived.

    Raises:
        InvalidHeader: as `timeout_of`.
    """
    seconds = timeout_of(head)
    return None if seconds is None else time.monotonic() + seconds
