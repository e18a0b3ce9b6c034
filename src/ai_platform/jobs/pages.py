"""Pages of jobs: an opaque cursor that says where the last page ended."""

import base64
import binascii
import hashlib
import uuid
from dataclasses import dataclass

from ai_platform.errors import InvalidCursor
from ai_platform.jobs.job import Job

_CHECK_BYTES = 4


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first.

    Attributes:
        jobs: at most as many as were asked for.
        next: cursor of the following page, None on the last.
    """

    jobs: list[Job]
    next: str | None


def cursor_of(job_id: uuid.UUID) -> str:
    """The cursor of the page after this job: its id with four check bytes, in URL-safe base64."""
    return base64.urlsafe_b64encode(job_id.bytes + _check(job_id.bytes)).rstrip(b"=").decode()


def position_of(cursor: str) -> uuid.UUID:
    """The job after which a page begins.

    Raises:
        InvalidCursor: this platform did not make it.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor("the cursor is not one of this platform's") from error
    if len(raw) != 16 + _CHECK_BYTES or raw[16:] != _check(raw[:16]) or cursor_of(uuid.UUID(bytes=raw[:16])) != cursor:
        raise InvalidCursor("the cursor is not one of this platform's")
    return uuid.UUID(bytes=raw[:16])


def _check(position: bytes) -> bytes:
    # Against mangling, not against guessing: a page shows the caller's own jobs wherever it begins.
    return hashlib.sha256(b"jobs-cursor:" + position).digest()[:_CHECK_BYTES]
