"""A route's JSON body: read within its bounds, strict, and of the type that the route declares."""

import re
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import msgspec
from fastapi import Request

from ai_platform.api.http.body import read_json_body
from ai_platform.api.http.parameters import services_of
from ai_platform.errors import InputFault, InvalidInput
from ai_platform.inputs.strict_json import loads

Body = TypeVar("Body", bound=msgspec.Struct)


def reader_of(kind: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """What reads a request's body as this type, or as the type's own `of_document` does.

    The reader raises:
        PlatformError: the body is too large, too slow, of another type, no strict JSON, or not of its form.
    """
    convert = getattr(kind, "of_document", None) or (lambda document: _converted(document, kind))

    async def read(request: Request) -> Body:
        body: Body = convert(
            loads(await read_json_body(request.scope, request.receive, services_of(request).settings.limits.body_bytes))
        )
        return body

    return read


def refuse(pointer: str, detail: str) -> NoReturn:
    """Refuse a body.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput("the body is not what this route reads", [InputFault(pointer, detail)])


def _converted(document: object, kind: type[Body]) -> Body:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `")
        pointer = re.sub(r"\[(\d+)\]", r"/\1", path.rstrip("`").removeprefix("$")).replace(".", "/")
        refuse(pointer if "[" not in pointer else "", sentence[:1].lower() + sentence[1:])
