"""Ids of predictions and jobs: UUID version 7 (RFC 9562, section 5.7), so that later ones sort after earlier ones."""

import os
import time
import uuid
from collections import deque

_AT_ONCE = 256
_BYTES = 9
# The random part of ids, version and variant in their places, made in bulk: a call of the system costs as much as all
# the rest of an id.
_tails: deque[str] = deque()
# The latest millisecond and how ids of it begin, as many share one.
_last: list[tuple[int, str]] = [(-1, "")]
os.register_at_fork(after_in_child=_tails.clear)  # two processes must not draw the same


def new_id() -> uuid.UUID:
    """48 bits of milliseconds since 1970, then 72 random bits, version and variant between."""
    return uuid.UUID(new_text())


def new_text() -> str:
    """The same as it is written, without an object between."""
    try:
        tail = _tails.pop()  # one step, so that two threads never get the same
    except IndexError:
        tail = _drawn()
    milliseconds = time.time_ns() // 1_000_000
    moment, head = _last[0]
    if moment != milliseconds:
        head = f"{milliseconds >> 16 & 0xFFFF_FFFF:08x}-{milliseconds & 0xFFFF:04x}"
        _last[0] = (milliseconds, head)  # one step, and whoever else writes it writes what is as right
    return head + tail


def _drawn() -> str:
    drawn = os.urandom(_AT_ONCE * _BYTES).hex()
    size = 2 * _BYTES
    parts = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    _tails.extend([f"-7{part[:3]}-8{part[3:6]}-{part[6:]}" for part in parts[1:]])
    return f"-7{parts[0][:3]}-8{parts[0][3:6]}-{parts[0][6:]}"
