"""What the OpenAPI document says of keys, of the audit log, and of what each route asks of its caller."""

from typing import Any

from ai_platform.access.gcra import FASTEST_ROWS_PER_SECOND, MOST_BURST_ROWS, SLOWEST_ROWS_PER_SECOND
from ai_platform.access.key_spec import FIELDS
from ai_platform.access.principal import SCOPES
from ai_platform.api.http.auth import ANY, ROUTE_SCOPES
from ai_platform.api.routes.keys import LONGEST_OVERLAP

Json = dict[str, Any]

_TIME: Json = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Json = {"type": ["string", "null"], "format": "date-time"}
_TEXT: Json = {"type": "string"}
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_SCOPES: Json = {"type": "array", "items": {"enum": list(SCOPES)}, "minItems": 1, "uniqueItems": True}
_OWNER: Json = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"}
_MODELS: Json = {
    "type": ["array", "null"],
    "items": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
    "minItems": 1,
    "maxItems": 1000,
}
_COUNT: Json = {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_BURST_ROWS}
_RIGHTS: Json = {
    "owner": _OWNER,
    "scopes": _SCOPES,
    "models": _MODELS,
    "rows_per_second": {
        "type": ["number", "null"],
        "minimum": SLOWEST_ROWS_PER_SECOND,
        "maximum": FASTEST_ROWS_PER_SECOND,
    },
    "burst_rows": _COUNT,
    "waiting_jobs": _COUNT,
}
_TERMS: Json = {
    "type": "object",
    "required": ["owner", "scopes"],
    "properties": {
        name: {**schema, "description": FIELDS[name]}
        for name, schema in {
            **_RIGHTS,
            "expires_in": {"type": ["number", "null"], "minimum": 1, "maximum": 315_360_000},
        }.items()
    },
    "additionalProperties": False,
}
_KEY: Json = {
    "type": "object",
    "required": ["id", "owner", "scopes", "state", "created_at", "created_by"],
    "properties": {
        "id": _TEXT,
        **_RIGHTS,
        "created_at": _TIME,
        "created_by": _TEXT,
        "rotated_from": _TEXT_OR_NULL,
        "expires_at": _TIME_OR_NULL,
        "last_used_at": _TIME_OR_NULL,
        "revoked_at": _TIME_OR_NULL,
        "revoked_by": _TEXT_OR_NULL,
        "state": {"enum": ["active", "expired", "revoked"]},
    },
}
_ENTRY: Json = {
    "type": "object",
    "required": ["id", "at", "actor", "action", "subject", "outcome", "detail", "request_id"],
    "properties": {
        "id": {"type": "integer"},
        "at": _TIME,
        "actor": _TEXT,
        "action": _TEXT,
        "subject": _TEXT,
        "outcome": {"enum": ["done", "refused"]},
        "detail": {"type": "object"},
        "request_id": _TEXT_OR_NULL,
    },
}
SCHEMAS: Json = {
    "KeyTerms": _TERMS,
    "Key": _KEY,
    "NewKey": {
        "allOf": [
            {"$ref": "#/components/schemas/Key"},
            {"type": "object", "required": ["key"], "properties": {"key": {**_TEXT, "description": "shown this once"}}},
        ]
    },
    "Keys": {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}}},
    },
    "AuditPage": {
        "type": "object",
        "required": ["entries", "next"],
        "properties": {"entries": {"type": "array", "items": _ENTRY}, "next": _TEXT_OR_NULL},
    },
}
_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key: `aip_...`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def complete_keys(paths: Json, most: int) -> None:
    """Parameters, bodies and answers of the routes of keys and of the audit log.

    Args:
        paths: of the document; changed in place.
        most: entries on one page.
    """
    paths["/keys"]["get"]["responses"] = {"200": _json("All keys", "Keys"), **_problems("503")}
    paths["/keys"]["post"] |= {
        "requestBody": {"required": True, **_content("KeyTerms")},
        "responses": {"201": _made(), **_problems("400", "408", "413", "415", "422", "503")},
    }
    rotate = paths["/keys/{key_id}/rotate"]["post"]
    rotate["responses"] = {"201": _made(), **_problems("404", "409", "422", "503")}
    for operation in (rotate, paths["/keys/{key_id}"]["delete"]):
        for parameter in operation["parameters"]:
            parameter["schema"] = {"type": "string", "pattern": "^[0-9A-Za-z]{8}$"}
    seconds = {"type": "number", "minimum": 0, "maximum": LONGEST_OVERLAP}
    rotate["parameters"].append(_query("overlap_seconds", seconds, "seconds for which both keys are valid"))
    paths["/keys/{key_id}"]["delete"]["responses"] = {"200": _json("The key", "Key"), **_problems("404", "503")}
    paths["/audit"]["get"] |= {
        "responses": {"200": _json("A page", "AuditPage"), **_problems("400", "422", "503")},
        "parameters": [
            _query("subject", {"type": "string", "pattern": "^[!-~]{1,200}$"}, "`key`, `key/ID`, a model"),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": most}),
            _query("cursor", _TEXT, "from the last page's `next`"),
        ],
    }


def secure(document: Json, *, asked: bool) -> None:
    """Say of each operation what it asks of its caller, and how it refuses who has it not.

    Args:
        document: changed in place.
        asked: whether keys are asked for; while authentication is off, no operation says that it wants one.
    """
    if asked:
        document["components"]["securitySchemes"] = _SECURITY
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = ROUTE_SCOPES.get((method.upper(), path))
            if needed is None:
                continue
            if asked:
                operation["security"] = [{scheme: []} for scheme in _SECURITY]
            operation["x-scope"] = needed if needed != ANY else "any"
            operation["responses"] |= _problems("400", "401", "403", "429", "503")


def _made() -> Json:
    response = _json("Made", "NewKey")
    response["headers"] = {"Location": {"description": "where the key is", "schema": _TEXT}}
    return response


def _query(name: str, schema: Json, description: str = "") -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _problems(*statuses: str) -> Json:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Problem details (RFC 9457)", "content": problem} for status in statuses}


def _json(description: str, schema: str) -> Json:
    return {"description": description, **_content(schema)}


def _content(schema: str) -> Json:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
