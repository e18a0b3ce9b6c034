"""Declaring a management route: a function, and beside it what it needs and answers. All else is derived from that.

The scope, its check, the decoding of the body, the encoding of the answer, the OpenAPI operation and the reference in
docs/ come from the declaration; a route without a scope cannot be written.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from ai_platform.api.http import auth
from ai_platform.api.http.parameters import head_of, services_of
from ai_platform.api.routes.json_body import reader_of
from ai_platform.errors import PlatformError
from ai_platform.settings import Settings

Json = dict[str, Any]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Body = TypeVar("Body", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header that the function reads by itself.

    Attributes:
        name: as it is sent.
        schema: of its value, or what makes it from the settings.
        description: one line.
        place: `query` or `header`.
    """

    name: str
    schema: Json | Callable[[Settings], Json]
    description: str = ""
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a status stands for.

    Attributes:
        description: one line.
        kind: the type of a JSON body; None for another body, or none.
        media_type: of the body; empty for none.
        headers: names of headers, with what they hold.
        schema: name of the schema of a JSON body that has no type.
    """

    description: str
    kind: type[msgspec.Struct] | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Reply(Generic[Body]):
    """A JSON answer with headers of its own."""

    body: Body
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Declared:
    """One route.

    Attributes:
        method: in capitals.
        path: the path's template.
        scope: what a key needs; `auth.ANY` for any valid key, `auth.PUBLIC` for nobody's.
        tag: the group that it belongs to.
        summary: one line.
        answers: by status.
        description: the function's docstring, without what it raises.
        body: the type of its JSON body, if it has one.
        upload: whether its body is a file.
        problems: facts that it may answer with, besides those of every route.
        parameters: of the query and the headers.
        is_shown: whether the reference has it.
        endpoint: what FastAPI calls; None of what is answered in front of it.
    """

    method: str
    path: str
    scope: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    body: type[msgspec.Struct] | None = None
    upload: bool = False
    problems: tuple[type[PlatformError], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    is_shown: bool = True
    endpoint: Callable[..., Any] | None = None


class Routes:
    """A group of routes.

    Args:
        tag: of the group.

    Attributes:
        declared: all of them, in order.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.declared: list[Declared] = []

    def declare(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        summary: str,
        status: int = 200,
        answers: Mapping[int, Answer] | None = None,
        problems: tuple[type[PlatformError], ...] = (),
        parameters: tuple[Parameter, ...] = (),
        upload: bool = False,
        is_shown: bool = True,
    ) -> Callable[[Endpoint], Endpoint]:
        """Make a function the answer to a method and a path.

        A parameter whose type is a struct is the JSON body. A struct or a `Reply` that is returned is encoded; a
        `Response` goes as it is, and then `answers` says what it is.

        Args:
            method: in capitals.
            path: the path's template.
            scope: what a key needs.
            summary: one line.
            status: of the answer that is encoded.
            answers: all answers, where the type that is returned does not say it.
            problems: facts that it may answer with, besides those of every route.
            parameters: of the query and the headers, which the function reads by itself.
            upload: whether the body is a file, which the function reads by itself.
            is_shown: whether the reference has it.

        Raises:
            TypeError: there is no scope, or nothing says what is answered.
        """
        if (scope == auth.PUBLIC) != (path in auth.PUBLIC_ROUTES):
            raise TypeError(f"{method} {path}: a route that asks for no key stands in PUBLIC_ROUTES, and no other does")

        def declare(function: Endpoint) -> Endpoint:
            hints = get_type_hints(function, include_extras=True)
            bodies = {name: kind for name, kind in hints.items() if name != "return" and _is_struct(kind)}
            said = answers or _answer(f"{method} {path}", status, hints.get("return"))
            text = (inspect.getdoc(function) or "").partition("\nRaises:")[0].strip()
            self.declared.append(
                Declared(
                    method, path, scope, self.tag, summary, said, text, next(iter(bodies.values()), None),
                    upload=upload, problems=problems, parameters=parameters, is_shown=is_shown,
                    endpoint=_endpoint(function, bodies, status),
                )
            )  # fmt: skip
            return function

        return declare


def add(app: FastAPI, groups: Iterable[Routes]) -> None:
    """Have an application answer what is declared, each route behind the check of its scope."""
    for one in (one for group in groups for one in group.declared):
        assert one.endpoint is not None
        check = Depends(_authorization(one.scope, f"{one.method} {one.path}"))
        app.add_api_route(one.path, one.endpoint, methods=[one.method], dependencies=[check])


def encoded(body: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def _is_struct(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, msgspec.Struct)


def _answer(route: str, status: int, returned: Any) -> dict[int, Answer]:
    kind = get_args(returned)[0] if get_origin(returned) is Reply else returned
    if not _is_struct(kind):
        raise TypeError(f"{route} returns {returned!r}: say in `answers` what it answers")
    headers = {"Location": "where it is"} if status == 201 else {}  # noqa: PLR2004
    return {status: Answer(_first_line(kind), kind, headers=headers)}


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")


def _endpoint(function: Callable[..., Any], bodies: Mapping[str, Any], status: int) -> Callable[..., Any]:
    """The function as FastAPI calls it: with its bodies decoded, and what it returns encoded."""

    def answer(found: Any) -> Response:
        if isinstance(found, Response):
            return found
        return encoded(found.body, status, found.headers) if isinstance(found, Reply) else encoded(found, status)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def endpoint(*args: Any, **given: Any) -> Response:
            return answer(await function(*args, **given))
    else:

        @functools.wraps(function)
        def endpoint(*args: Any, **given: Any) -> Response:
            return answer(function(*args, **given))

    hints = get_type_hints(function, include_extras=True)
    for name, kind in bodies.items():
        hints[name] = Annotated[kind, Depends(reader_of(kind))]
    parameters = [one.replace(annotation=hints[one.name]) for one in inspect.signature(function).parameters.values()]
    endpoint.__signature__ = inspect.Signature(parameters, return_annotation=Response)  # type: ignore[attr-defined]
    return endpoint


def _authorization(scope: str, action: str) -> Callable[[Request], Any]:
    async def authorize(request: Request) -> None:
        if scope not in {auth.ANY, auth.PUBLIC}:
            services_of(request).authorizer.authorize(head_of(request).caller.principal, scope, action)

    return authorize
