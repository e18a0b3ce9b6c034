"""Strict JSON (RFC 8259, and narrower): UTF-8, one document, finite numbers, no duplicate keys, bounded depth."""

import json
import re
from typing import Any, NoReturn

import orjson

from ai_platform.errors import InvalidJson

# An instance is three levels deep; what is deeper than this was not written by anybody's client.
MAX_DEPTH = 32
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_BRACKETS = re.compile(rb"[\[\]{}]")


def loads(body: bytes) -> Any:
    """Parse one document.

    Raises:
        InvalidJson: with the place where known, never with the content.
    """
    if not body.strip():
        raise InvalidJson("the body is empty; a JSON object is needed")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    _check_depth(body)
    _check_duplicates(body)
    return document


def _check_depth(body: bytes) -> None:
    """Refuse deep documents before the slower parser recurses. The body is known to be JSON."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidJson(f"the body is nested more than {MAX_DEPTH} levels deep")


def _check_duplicates(body: bytes) -> None:
    # orjson keeps the last of two equal keys without a word; the standard library can be made to look.
    try:
        json.loads(body, object_pairs_hook=_unique)
    except InvalidJson:
        raise
    except (ValueError, RecursionError):
        raise InvalidJson("the body is not JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse_duplicate()
    return found


def _refuse_duplicate() -> NoReturn:
    raise InvalidJson("an object in the body has the same key twice")
