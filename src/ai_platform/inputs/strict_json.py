"""Strict JSON (RFC 8259, and narrower): UTF-8, one document, finite numbers, no duplicate keys, bounded nesting.

Time grows with the bytes alone: a document is parsed once, and looked through without a step for each value.
"""

import re
from typing import Any

import orjson

from ai_platform.errors import InvalidJson

# An instance is three levels deep; what is deeper than this was not written by anybody's client.
MAX_DEPTH = 32
# Lists and objects in one document, where the caller knows no narrower bound.
MAX_CONTAINERS = 10_000
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_BRACKETS = re.compile(rb"[\[\]{}]")


def loads(body: bytes, max_containers: int = MAX_CONTAINERS) -> Any:
    """Parse one document.

    Args:
        body: its bytes.
        max_containers: most lists and objects in it.

    Raises:
        InvalidJson: with the place where known, never with the content.
    """
    if not body.strip():
        raise InvalidJson("the body is empty; a JSON object is needed")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    # What is left has the same structure, and no bracket or colon that is somebody's text.
    structure = _STRINGS.sub(b"", body)
    _check_nesting(structure, max_containers)
    # orjson keeps the last of two equal keys without a word; then it has fewer members than the text has colons.
    if structure.count(b":") != _members(document):
        raise InvalidJson("an object in the body has the same key twice")
    return document


def _check_nesting(structure: bytes, max_containers: int) -> None:
    containers = structure.count(b"[") + structure.count(b"{")
    if containers > max_containers:
        raise InvalidJson(f"the body holds more than {max_containers} lists and objects")
    if containers <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKETS.findall(structure):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidJson(f"the body is nested more than {MAX_DEPTH} levels deep")


def _members(document: Any) -> int:
    """How many members all objects of a document have together."""
    found = 0
    waiting = [document]
    while waiting:
        container = waiting.pop()
        if type(container) is dict:
            found += len(container)
            waiting += [value for value in container.values() if type(value) in (dict, list)]
        elif type(container) is list:
            waiting += [value for value in container if type(value) in (dict, list)]
    return found
