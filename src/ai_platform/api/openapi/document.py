"""The OpenAPI document: FastAPI's own for its routes, and that of predictions, with an input schema for each model."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ai_platform.api.http.deadline import LONGEST_MS
from ai_platform.api.openapi import access, models
from ai_platform.api.openapi.result import RESULT
from ai_platform.api.prediction.submission import SHORTEST_LIFETIME
from ai_platform.api.routes.jobs import STATES
from ai_platform.codecs.problem_details import CONTENT_TYPE
from ai_platform.inputs.validation import LARGEST_EXACT_INTEGER, LARGEST_NUMBER
from ai_platform.models.registry.aliases import ALIAS_NAME
from ai_platform.models.registry.versions import MODEL_NAME
from ai_platform.models.validation.sample_rows import shown
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import Settings

Json = dict[str, Any]

_PROBLEM: Json = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body (RFC 6901)"},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_ACCEPTED: Json = {
    "type": "object",
    "required": ["id", "status", "url"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"type": "string", "description": "queued, or where a replayed job stands"},
        "retry_of": {"type": "string", "format": "uuid"},
        "url": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
    },
}
_JOB: Json = {
    "type": "object",
    "required": ["id", "status", "model", "version", "created_at", "started_at", "finished_at", "attempts"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["queued", "running", "succeeded", "failed", "cancelled", "expired"]},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
        "started_at": {"type": ["string", "null"], "format": "date-time"},
        "finished_at": {"type": ["string", "null"], "format": "date-time"},
        "attempts": {"type": "integer"},
        "result": {"$ref": "#/components/schemas/Result"},
        "expires_at": {"type": "string", "format": "date-time"},
        "retry_of": {"type": "string", "format": "uuid"},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "detail": {"type": ["string", "null"]}},
        },
    },
}
_PAGE: Json = {
    "type": "object",
    "required": ["jobs", "next"],
    "properties": {
        "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}},
        "next": {"type": ["string", "null"], "description": "path and query of the following page"},
    },
}
_SEEN: Json = {"required": ["status"], "type": "object", "properties": {"status": {"type": "string"}}}
_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "8 to 255 visible ASCII characters, kept for 24 h: same key and same body, same job",
    "schema": {"type": "string", "pattern": "^[!-~]{8,255}$"},
}
_PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async` for a job, `respond-async, wait=N` to wait up to N seconds for its end (RFC 7240)",
    "schema": {"type": "string"},
}
_TIMEOUT: Json = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "ms that the caller waits: then 504, and what was not begun is not computed; of a job, its lifetime",
    "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_MS},
}
_JOB_ID: Json = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_LAST_EVENT: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "id of the last event that was seen",
    "schema": {"type": "string", "pattern": "^[0-9]{1,6}$"},
}
_MODEL: Json = {"type": "string", "pattern": f"^{MODEL_NAME.pattern}$"}
_NAME: Json = {"name": "name", "in": "path", "required": True, "schema": _MODEL}
_ALIAS_NAME: Json = {"type": "string", "pattern": f"^{ALIAS_NAME.pattern}$"}
_ALIAS: Json = {"name": "alias", "in": "path", "required": True, "schema": _ALIAS_NAME}
_NUMBER: Json = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
_VERSION: Json = {"name": "version", "in": "path", "required": True, "schema": _NUMBER}
# What the server may say to any request, before it knows which route it is for.
_TO_ANYTHING = ("400", "408", "414", "417", "431")


def describe(app: FastAPI, may_use: Callable[[str], bool] | None = None) -> Json:
    """The document, made anew at each call, because models come and go.

    Args:
        app: the routes.
        may_use: whether the caller may use a model, and so read of it; None where all may.
    """
    services = getattr(app.state, "services", None)
    prepared = services.directory.summary() if services else []
    if may_use is not None:
        prepared = [model for model in prepared if may_use(model.served.name)]
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, summary=__doc__)
    document["info"]["summary"] = "Machine-learning predictions: synchronous, or durable as jobs."
    schemas = document.setdefault("components", {})["schemas"] = {
        "Problem": _PROBLEM, "Result": RESULT, "Accepted": _ACCEPTED, "Job": _JOB, "Page": _PAGE, "Status": _SEEN,
        **access.SCHEMAS,
    }  # fmt: skip
    for model in prepared:
        schemas[f"Input_{model.served.name}"] = input_schema(model.served.manifest.signature)
    settings = app.state.settings
    _complete_routes(document["paths"], settings)
    models.complete(document["paths"], schemas)
    access.complete_keys(document["paths"], settings.limits.page)
    document["paths"] = {**_lane_paths(prepared, settings), **document["paths"]}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"] = {**_problems(*_TO_ANYTHING), **operation["responses"]}
    access.secure(document, asked=settings.auth == "on")
    return document


def input_schema(signature: Signature) -> Json:
    """JSON Schema of the bodies that a model admits."""
    by_name = {
        "type": "object",
        "properties": {
            **{name: {"description": "taken, and not read"} for name in signature.ignored},
            **{feature.name: _value_schema(feature) for feature in signature.inputs},
        },
        "required": [feature.name for feature in signature.inputs if not feature.nullable],
        "additionalProperties": signature.extra == "ignore",
    }
    count = len(signature.inputs)
    by_position = {
        "type": "array",
        "prefixItems": [_value_schema(feature) for feature in signature.inputs],
        "minItems": count,
        "maxItems": count,
    }
    instance = {"anyOf": [by_position, by_name]}
    one = {"features": instance}
    many = {"instances": {"type": "array", "items": instance, "minItems": 1}}
    return {
        "oneOf": [
            {"type": "object", "properties": body, "required": list(body), "additionalProperties": False}
            for body in (one, many)
        ]
    }


def _value_schema(feature: Feature) -> Json:
    schema: Json = {"type": [feature.type, "null"] if feature.nullable else feature.type}
    if feature.type == "number":
        schema |= {"minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}
    elif feature.type == "integer":
        schema |= {"minimum": -LARGEST_EXACT_INTEGER, "maximum": LARGEST_EXACT_INTEGER}
    if feature.enforced:
        schema |= {"minimum": feature.minimum, "maximum": feature.maximum}
    elif feature.minimum is not None:
        schema["description"] = f"in training from {feature.minimum:g} to {feature.maximum:g}"
    return schema


def _lane_paths(prepared: Iterable[PreparedModel], settings: Settings) -> Json:
    default = settings.models.default
    lifetime = {"type": "number", "minimum": SHORTEST_LIFETIME, "maximum": settings.jobs.longest_lifetime_seconds}
    expiry = _query("expires_in", lifetime, "seconds after which the job expires if it is queued then")
    models = {model.served.name: model.served.manifest.signature for model in prepared}
    bodies = [{"$ref": f"#/components/schemas/Input_{name}"} for name in models]
    first = _request(
        {"$ref": f"#/components/schemas/Input_{default}"} if default in models else {"type": "object"},
        models.get(default),
    )
    any_model = _request({"anyOf": bodies} if bodies else {"type": "object"}, models.get(default))
    paths: Json = {}
    for prefix, body, parameters in (
        ("", first, []),
        ("/models/{name}", any_model, [_NAME]),
        ("/models/{name}/aliases/{alias}", any_model, [_NAME, _ALIAS]),
        ("/models/{name}/versions/{version}", any_model, [_NAME, _VERSION]),
    ):
        slash = "" if prefix else "/"
        paths[f"{prefix}/predict{slash}"] = {"post": _synchronous(body, parameters)}
        paths[f"{prefix}/predict/async"] = {"post": _asynchronous(body, [*parameters, expiry])}
    return paths


def _synchronous(body: Json, parameters: list[Json]) -> Json:
    refused = ("400", "404", "408", "413", "415", "422", "429", "500", "503", "504")
    responses = {"200": _json("The result object", "Result"), "202": _accepted(), **_problems(*refused)}
    return {
        "tags": ["predictions"], "summary": "Predict now", "parameters": [*parameters, _PREFER, _KEY, _TIMEOUT],
        "requestBody": body,
        "responses": responses,
    }  # fmt: skip


def _asynchronous(body: Json, parameters: list[Json]) -> Json:
    refused = ("400", "404", "408", "413", "415", "422", "429", "503")
    return {
        "tags": ["predictions"], "summary": "Predict as a durable job", "parameters": [*parameters, _KEY, _TIMEOUT],
        "requestBody": body, "responses": {"202": _accepted(), **_problems(*refused)},
    }  # fmt: skip


def _accepted() -> Json:
    response = _json("Accepted: the job is committed", "Accepted")
    response["headers"] = {"Location": {"description": "where the job is", "schema": {"type": "string"}}}
    return response


def _request(schema: Json, signature: Signature | None) -> Json:
    media: Json = {"schema": schema}
    if signature is not None:
        example = shown(signature)
        named = {feature.name: value for feature, value in zip(signature.inputs, example, strict=True)}
        media["examples"] = {
            "one instance": {"value": {"features": example}},
            "one instance, by name": {"value": {"features": named}},
            "many instances": {"value": {"instances": [example, named]}},
        }
    return {"required": True, "content": {"application/json": media}}


def _complete_routes(paths: Json, settings: Settings) -> None:
    """What FastAPI cannot know, because these routes answer with bytes of their own."""
    for path, operations in paths.items():
        for operation in operations.values():
            operation["responses"] = {"200": _json("Status", "Status")}
            if path.startswith("/jobs/"):
                operation["parameters"] = [{**_JOB_ID}]
                operation["responses"] = {"200": _json("The job", "Job"), **_problems("400", "404", "422", "503")}
    paths["/metrics"]["get"]["responses"]["200"] = {"description": "Metrics", "content": {"text/plain": {}}}
    for path, schema in (("/health", "Status"), ("/health/ready", "Problem")):
        paths[path]["get"]["responses"]["503"] = _json("Cannot predict now", schema, problem=schema == "Problem")
    _complete_jobs(paths, settings)


def _complete_jobs(paths: Json, settings: Settings) -> None:
    paths["/jobs"]["get"]["responses"] = {"200": _json("A page", "Page"), **_problems("400", "422", "503")}
    paths["/jobs"]["get"]["parameters"] = [
        _query("status", {"enum": sorted(STATES)}),
        _query("model", _MODEL),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": settings.limits.page}),
        _query("cursor", {"type": "string"}, "from the last page's `next`"),
    ]
    wait = {"type": "number", "minimum": 0, "maximum": settings.limits.wait_seconds}
    paths["/jobs/{job_id}"]["get"]["parameters"].append(_query("wait", wait, "seconds to wait for the job's end"))
    paths["/jobs/{job_id}/events"]["get"]["parameters"].append(_LAST_EVENT)
    paths["/jobs/{job_id}/retry"]["post"]["parameters"].append(_KEY)
    events = paths["/jobs/{job_id}/events"]["get"]["responses"]
    events["200"] = {"description": "Server-sent events", "content": {"text/event-stream": {}}}
    events["204"] = {"description": "The final event was delivered already"}
    paths["/jobs/{job_id}/cancel"]["post"]["responses"] |= _problems("409")
    retry = paths["/jobs/{job_id}/retry"]["post"]["responses"]
    del retry["200"]
    retry |= {"202": _accepted(), **_problems("409", "429")}


def _query(name: str, schema: Json, description: str = "") -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _problems(*statuses: str) -> Json:
    return {status: _json("Problem details (RFC 9457)", "Problem", problem=True) for status in statuses}


def _json(description: str, schema: str, *, problem: bool = False) -> Json:
    media_type = CONTENT_TYPE if problem else "application/json"
    return {"description": description, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
