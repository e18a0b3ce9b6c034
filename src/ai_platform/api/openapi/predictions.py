"""What the OpenAPI document says of predictions: their paths, and an input schema for each model."""

from collections.abc import Iterable
from typing import Any

from ai_platform.api.http.deadline import LONGEST_MS
from ai_platform.api.openapi.operations import operation
from ai_platform.api.prediction.submission import SHORTEST_LIFETIME, AcceptedView
from ai_platform.api.routes.declaration import Answer, Declared, Parameter
from ai_platform.api.routes.jobs import IDEMPOTENCY_KEY
from ai_platform.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    IdempotencyKeyReused,
    InvalidInput,
    InvalidJson,
    ModelFailed,
    ModelNotFound,
    RequestTimedOut,
    TooManyJobs,
    UnsupportedMediaType,
)
from ai_platform.inputs.validation import LARGEST_EXACT_INTEGER, LARGEST_NUMBER
from ai_platform.models.validation.sample_rows import shown
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.serving.authorizer import PREDICT
from ai_platform.settings import Settings

Json = dict[str, Any]

_PREFER = Parameter(
    "Prefer",
    {"type": "string"},
    "`respond-async` for a job, `respond-async, wait=N` to wait up to N seconds for its end (RFC 7240)",
    place="header",
)
_TIMEOUT = Parameter(
    "X-Request-Timeout-Ms",
    {"type": "integer", "minimum": 1, "maximum": LONGEST_MS},
    "ms that the caller waits: then 504, and what was not begun is not computed; of a job, its lifetime",
    place="header",
)
_EXPIRY = Parameter(
    "expires_in",
    lambda settings: {
        "type": "number", "minimum": SHORTEST_LIFETIME, "maximum": settings.jobs.longest_lifetime_seconds,
    },
    "seconds after which the job expires if it is queued then",
)  # fmt: skip
_REFUSED = (
    InvalidJson, ModelNotFound, RequestTimedOut, BodyTooLarge, UnsupportedMediaType, InvalidInput, IdempotencyKeyReused,
    TooManyJobs,
)  # fmt: skip
_ACCEPTED = Answer("Accepted: the job is committed", AcceptedView, headers={"Location": "where the job is"})
_RESULT = Answer("The result object", schema="Result")
PREFIXES = ("", "/models/{name}", "/models/{name}/aliases/{alias}", "/models/{name}/versions/{version}")


def declared() -> list[Declared]:
    """The paths of predictions, as routes are declared; they are answered in front of these."""
    found = []
    for prefix in PREFIXES:
        slash = "" if prefix else "/"
        found += [
            Declared(
                "POST", f"{prefix}/predict{slash}", PREDICT, "predictions", "Predict now",
                answers={200: _RESULT, 202: _ACCEPTED},
                problems=(*_REFUSED, ModelFailed, DeadlineExceeded),
                parameters=(_PREFER, IDEMPOTENCY_KEY, _TIMEOUT),
            ),
            Declared(
                "POST", f"{prefix}/predict/async", PREDICT, "predictions", "Predict as a durable job",
                answers={202: _ACCEPTED},
                problems=_REFUSED,
                parameters=(_EXPIRY, IDEMPOTENCY_KEY, _TIMEOUT),
            ),
        ]  # fmt: skip
    return found


def paths(prepared: Iterable[PreparedModel], settings: Settings) -> Json:
    """The operations of all paths of predictions, with examples that run."""
    signatures = {model.served.name: model.served.manifest.signature for model in prepared}
    default = settings.models.default
    bodies = [{"$ref": f"#/components/schemas/Input_{name}"} for name in signatures]
    first = {"$ref": f"#/components/schemas/Input_{default}"} if default in signatures else {"type": "object"}
    any_model = {"anyOf": bodies} if bodies else {"type": "object"}
    found: Json = {}
    for one in declared():
        schema = first if one.path.startswith("/predict") else any_model
        found[one.path] = {"post": operation(one, settings, body=_request(schema, signatures.get(default)))}
    return found


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
