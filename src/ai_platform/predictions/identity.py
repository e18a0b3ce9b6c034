"""Ids of predictions and jobs: UUID version 7 (RFC 9562, section 5.7), so that later ones sort after earlier ones."""

import os
import time
import uuid
from collections import deque

_AT_ONCE = 256
_SIZE = 10
# Random bits, asked for in bulk: a call of the system costs as much as all the rest of an id.
_bits: deque[int] = deque()
os.register_at_fork(after_in_child=_bits.clear)  # two processes must not draw the same


def new_id() -> uuid.UUID:
    """48 bits of milliseconds since 1970, then 74 random bits."""
    return uuid.UUID(int=_new())


def new_hex() -> str:
    """The same as 32 hexadecimal digits, without an object between."""
    return f"{_new():032x}"


def dashed(digits: str) -> str:
    """32 hexadecimal digits as an id is usually written."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _new() -> int:
    try:
        bits = _bits.pop()  # one step, so that two threads never get the same
    except IndexError:
        bits = _drawn()
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | bits
    return value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62


def _drawn() -> int:
    drawn = os.urandom(_AT_ONCE * _SIZE)
    _bits.extend(int.from_bytes(drawn[start : start + _SIZE]) for start in range(_SIZE, len(drawn), _SIZE))
    return int.from_bytes(drawn[:_SIZE])
