"""The OpenAPI document's part about models: bodies that routes read by themselves, and what they answer."""

from typing import Any

import msgspec

from ai_platform.api.routes.models import AliasBody, PromoteBody, PublishBody

Json = dict[str, Any]

_TIME: Json = {"type": "string", "format": "date-time"}
_TARGETS: Json = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["version", "weight"],
        "properties": {"version": {"type": "integer"}, "weight": {"type": "integer"}},
    },
}
_ALIAS: Json = {
    "type": "object",
    "required": ["name", "targets", "previous", "updated_at", "updated_by"],
    "properties": {
        "name": {"type": "string"},
        "targets": _TARGETS,
        "previous": _TARGETS,
        "updated_at": _TIME,
        "updated_by": {"type": "string"},
    },
}
_VERSION: Json = {
    "type": "object",
    "required": ["model", "version", "format", "form", "sha256", "size", "metrics", "aliases", "created_at"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "format": {"type": "string"},
        "form": {"enum": ["compiled", "native"]},
        "why_native": {"type": ["string", "null"]},
        "sha256": {"type": "string"},
        "size": {"type": "integer", "description": "bytes"},
        "metrics": {"type": "object"},
        "aliases": {"type": "array", "items": {"type": "string"}},
        "created_at": _TIME,
        "created_by": {"type": "string"},
    },
}
_MODEL: Json = {
    "type": "object",
    "required": ["name", "aliases"],
    "properties": {
        "name": {"type": "string"},
        "created_at": _TIME,
        "versions": {},
        "latest": {"type": ["integer", "null"]},
        "aliases": {"type": "array", "items": {"$ref": "#/components/schemas/Alias"}},
    },
}
_UPLOAD: Json = {
    "type": "object",
    "required": ["sha256", "size", "kept_seconds"],
    "properties": {
        "sha256": {"type": "string"},
        "size": {"type": "integer"},
        "kept_seconds": {"type": "integer"},
    },
}

SCHEMAS: Json = {
    "Alias": _ALIAS,
    "Aliases": {"type": "object", "properties": {"aliases": {"type": "array", "items": _ALIAS}}},
    "Version": _VERSION,
    "Versions": {"type": "object", "properties": {"versions": {"type": "array", "items": _VERSION}}},
    "Model": _MODEL,
    "Models": {"type": "object", "properties": {"models": {"type": "array", "items": _MODEL}}},
    "Upload": _UPLOAD,
}

# Of each route: what it answers, with which schema (None for bytes or nothing), and the problems that it knows.
_ANSWERS: dict[tuple[str, str], tuple[str, str | None, tuple[str, ...]]] = {
    ("/models", "get"): ("200", "Models", ()),
    ("/models/{name}", "get"): ("200", "Model", ("404", "422")),
    ("/models/{name}/versions", "get"): ("200", "Versions", ("404", "422")),
    ("/models/{name}/versions", "post"): (
        "201", "Version", ("400", "404", "408", "413", "415", "422"),
    ),
    ("/models/{name}/versions/{version}", "get"): ("200", "Version", ("404", "422")),
    ("/models/{name}/versions/{version}", "delete"): ("204", None, ("404", "409", "422")),
    ("/models/{name}/versions/{version}/artifact", "get"): ("200", None, ("404", "422")),
    ("/models/{name}/aliases", "get"): ("200", "Aliases", ("404", "422")),
    ("/models/{name}/aliases/{alias}", "put"): ("200", "Alias", ("400", "404", "408", "413", "415", "422")),
    ("/models/{name}/aliases/{alias}", "delete"): ("204", None, ("404", "422")),
    ("/models/{name}/aliases/{alias}/rollback", "post"): ("200", "Alias", ("404", "422")),
    ("/models/{name}/promote", "post"): ("200", "Alias", ("400", "404", "408", "413", "415", "422")),
    ("/models/{name}/rollback", "post"): ("200", "Alias", ("404", "422")),
    ("/uploads", "post"): ("201", "Upload", ("400", "403", "408", "413", "415")),
}  # fmt: skip
_BODIES: dict[tuple[str, str], type[msgspec.Struct]] = {
    ("/models/{name}/versions", "post"): PublishBody,
    ("/models/{name}/aliases/{alias}", "put"): AliasBody,
    ("/models/{name}/promote", "post"): PromoteBody,
}
_PARTS: dict[str, Json] = {
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
    "alias": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$"},
    "version": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def complete(paths: Json, schemas: Json) -> None:
    """Fill in what FastAPI cannot know of these routes.

    Args:
        paths: the document's paths; changed in place.
        schemas: the document's schemas; changed in place.
    """
    schemas |= SCHEMAS
    _, components = msgspec.json.schema_components(tuple(_BODIES.values()), ref_template="#/components/schemas/{name}")
    schemas |= components
    for (path, method), (status, schema, problems) in _ANSWERS.items():
        operation = paths[path][method]
        operation["responses"] = {status: _answer(status, schema), **_problems(*problems, "503")}
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _PARTS[parameter["name"]]
        if (path, method) in _BODIES:
            name = _BODIES[path, method].__name__
            content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
            operation["requestBody"] = {"required": True, "content": content}
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    paths["/uploads"]["post"]["requestBody"] = {"required": True, "content": binary}
    paths["/models/{name}/versions/{version}/artifact"]["get"]["responses"]["200"]["content"] = binary


def _answer(status: str, schema: str | None) -> Json:
    said = {"200": "As it is now", "201": "Made", "204": "Gone"}[status]
    if schema is None:
        return {"description": said}
    return {
        "description": said,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _problems(*statuses: str) -> Json:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Problem details (RFC 9457)", "content": problem} for status in statuses}
