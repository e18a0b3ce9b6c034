"""The audit log over HTTP."""

import asyncio
import base64
import binascii
import hashlib
import re

import msgspec
from fastapi import Request

from ai_platform.api.http.parameters import principal_of, services_of
from ai_platform.api.routes import paging
from ai_platform.api.routes.declaration import Parameter, Routes
from ai_platform.api.routes.keys import keyring_of
from ai_platform.errors import InvalidCursor, InvalidParameter
from ai_platform.storage import audit

routes = Routes("audit")

_SUBJECT = re.compile(r"[!-~]{1,200}")
_CHECK_BYTES = 4


class AuditPage(msgspec.Struct, frozen=True):
    """Entries, newest first; `next` is path and query of the following page."""

    entries: list[audit.Entry]
    next: str | None


@routes.declare(
    "GET",
    "/audit",
    scope="keys:admin",
    summary="Who did what, newest first",
    problems=(InvalidParameter, InvalidCursor),
    parameters=(
        Parameter("subject", {"type": "string", "pattern": "^[!-~]{1,200}$"}, "`key`, `key/ID`, a model"),
        *paging.PARAMETERS,
    ),
)
async def list_entries(request: Request) -> AuditPage:
    """A page of the audit log. `?subject=` narrows it (`key`, `key/ID`, a model), `next` leads to the following page.

    A key for some models alone reads of these, and of keys for none but these.

    Raises:
        InvalidParameter: a parameter is not of its form.
        InvalidCursor: the cursor was not made by this platform.
    """
    limit, before, subject = _parameters(request, services_of(request).settings.limits.page)
    keyring, models = keyring_of(request), principal_of(request).models
    found = await asyncio.to_thread(
        lambda: keyring.ask(audit.entries, limit=limit + 1, before=before, subject=subject, models=models)
    )
    following = paging.following(request, "/audit", cursor_of(found[limit - 1].id)) if len(found) > limit else None
    return AuditPage(found[:limit], following)


def cursor_of(entry_id: int) -> str:
    """The cursor of the page after this entry: its id with four check bytes, in URL-safe base64."""
    position = entry_id.to_bytes(8)
    return base64.urlsafe_b64encode(position + _check(position)).decode()


def position_of(cursor: str) -> int:
    """The entry after which a page begins.

    Raises:
        InvalidCursor: this platform did not make it.
    """
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    position = raw[:8]
    if len(raw) != 8 + _CHECK_BYTES or raw[8:] != _check(position):
        raise InvalidCursor("the cursor is not one of this platform's")
    return int.from_bytes(position)


def _parameters(request: Request, most: int) -> tuple[int, int | None, str | None]:
    paging.check_parameters(request, "limit", "cursor", "subject")
    query = request.query_params
    cursor, subject = query.get("cursor"), query.get("subject")
    limit = paging.limit_of(request, most)
    if subject is not None and not _SUBJECT.fullmatch(subject):
        raise InvalidParameter("subject", "must be 1 to 200 visible ASCII characters")
    return limit, None if cursor is None else position_of(cursor), subject


def _check(position: bytes) -> bytes:
    # Against mangling, not against guessing: what a page shows is judged anew wherever it begins.
    return hashlib.sha256(b"audit-cursor:" + position).digest()[:_CHECK_BYTES]
