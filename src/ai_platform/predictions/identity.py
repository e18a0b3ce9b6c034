"""Ids of predictions and jobs: UUID version 7 (RFC 9562, section 5.7), so that later ones sort after earlier ones."""

import os
import time
import uuid


def new_id() -> uuid.UUID:
    """48 bits of milliseconds since 1970, then 74 random bits."""
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
