"""The id by which a request is found again in logs and answers: the caller's own, if it is one."""

import re

from ai_platform.api.http.request_head import RequestHead

_GIVEN = re.compile(rb"[\x21-\x7e]{1,128}")


def given_id(head: RequestHead) -> str | None:
    """The first X-Request-ID of 1 to 128 visible ASCII characters; None without one."""
    if b"x-request-id" not in head.named:
        return None
    for value in head.all(b"x-request-id"):
        if _GIVEN.fullmatch(value):
            return value.decode("ascii")
    return None
