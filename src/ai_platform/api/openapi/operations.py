"""An operation of the OpenAPI document from the declaration of a route."""

import re
from typing import Any

from ai_platform.api.http import auth
from ai_platform.api.routes.declaration import Answer, Declared, Parameter
from ai_platform.api.routes.path_parts import SCHEMAS
from ai_platform.codecs.problem_details import CONTENT_TYPE, PROBLEMS
from ai_platform.errors import (
    BodyTooLarge,
    ExpectationFailed,
    Forbidden,
    HeadersTooLarge,
    InvalidInput,
    InvalidJson,
    InvalidParameter,
    KeyInUrl,
    KeysUnavailable,
    MalformedRequest,
    PlatformError,
    RateLimited,
    RequestTimedOut,
    Unauthenticated,
    UnsupportedMediaType,
    UrlTooLong,
)
from ai_platform.settings import Settings

Json = dict[str, Any]
Facts = tuple[type[PlatformError], ...]

# What the server may say to any request, before it knows which route it is for.
_TO_ANYTHING: Facts = (MalformedRequest, RequestTimedOut, UrlTooLong, ExpectationFailed, HeadersTooLarge)
_TO_CALLERS: Facts = (KeyInUrl, Unauthenticated, Forbidden, RateLimited, KeysUnavailable)
_TO_BODIES: Facts = (InvalidJson, RequestTimedOut, BodyTooLarge, UnsupportedMediaType, InvalidInput)
# Parts of a path that are refused when they are not of their form; an id that is not is not found.
_CHECKED = {"name", "alias", "version"}
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key: `aip_...`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def operation(declared: Declared, settings: Settings, body: Json | None = None) -> Json:
    """What a declaration says, as an operation.

    Args:
        declared: the route.
        settings: some bounds of parameters are settings; while authentication is off, nothing asks for a key.
        body: the request's body, where the declaration does not say it.
    """
    parts = re.findall(r"{(\w+)}", declared.path)
    in_path = [Parameter(name, SCHEMAS.get(name, {"type": "string"}), place="path") for name in parts]
    found: Json = {"tags": [declared.tag], "summary": declared.summary}
    if declared.description:
        found["description"] = declared.description
    if in_path or declared.parameters:
        found["parameters"] = [_parameter(one, settings) for one in (*in_path, *declared.parameters)]
    body = body or _body(declared)
    if body is not None:
        found["requestBody"] = body
    answers = {str(status): _answer(answer) for status, answer in declared.answers.items()}
    facts: Facts = (*_TO_ANYTHING, *declared.problems)
    if body is not None and not declared.upload:
        facts += _TO_BODIES
    if _CHECKED & set(parts):
        facts += (InvalidParameter,)
    if declared.scope != auth.PUBLIC:
        facts += _TO_CALLERS
        found["x-scope"] = declared.scope or "any"
        if settings.auth == "on":
            found["security"] = [{scheme: []} for scheme in SECURITY]
    found["responses"] = {**_problems(facts), **answers}
    return found


def _parameter(one: Parameter, settings: Settings) -> Json:
    schema = one.schema(settings) if callable(one.schema) else one.schema
    told = {"name": one.name, "in": one.place, "required": one.place == "path", "schema": schema}
    return {**told, "description": one.description} if one.description else told


def _body(declared: Declared) -> Json | None:
    if declared.upload:
        return {"required": True, "content": {"application/octet-stream": {"schema": _BINARY}}}
    if declared.body is None:
        return None
    return {"required": True, "content": {"application/json": {"schema": reference(declared.body.__name__)}}}


_BINARY: Json = {"type": "string", "format": "binary"}


def _answer(answer: Answer) -> Json:
    told: Json = {"description": answer.description}
    if answer.media_type == "application/json":
        name = answer.schema or (answer.kind.__name__ if answer.kind else "")
        told["content"] = {"application/json": {"schema": reference(name)}}
    elif answer.media_type:
        told["content"] = {answer.media_type: {"schema": _BINARY} if "octet" in answer.media_type else {}}
    if answer.headers:
        told["headers"] = {
            name: {"description": what, "schema": {"type": "string"}} for name, what in answer.headers.items()
        }
    return told


def _problems(facts: Facts) -> Json:
    content = {CONTENT_TYPE: {"schema": reference("Problem")}}
    statuses = sorted({PROBLEMS[fact.code][0] for fact in facts})
    return {str(status): {"description": "Problem details (RFC 9457)", "content": content} for status in statuses}


def reference(name: str) -> Json:
    """Where the schema of that name stands."""
    return {"$ref": f"#/components/schemas/{name}"}
