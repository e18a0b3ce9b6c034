"""The OpenAPI document's schema of the result object, which a synchronous call answers and a job keeps."""

from typing import Any

from ai_platform.runtimes.base.non_finite import MOST_LISTED

RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["model", "version", "id"],
    "properties": {
        "prediction": {"description": "of the one instance sent as `features`"},
        "predictions": {"type": "array", "description": "of the instances, in their order"},
        "label": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "probabilities": {
            "type": "array",
            "description": "of the classes, in their order; of many instances, a list each",
            "items": {"type": ["number", "null", "array"]},
        },
        "classes": {"type": "array", "items": {"type": "string"}},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "id": {"type": "string"},
        "non_finite": {
            "type": "object",
            "description": "only where the model gave NaN or an infinity, which JSON has no numbers for: each is null,"
            " and stands here (with AI_PLATFORM_MODELS__NON_FINITE=error the answer is a problem `non_finite_output`)",
            "required": ["count", "values"],
            "properties": {
                "count": {"type": "integer", "minimum": 1},
                "values": {
                    "type": "array",
                    "maxItems": MOST_LISTED,
                    "items": {
                        "type": "object",
                        "required": ["pointer", "value"],
                        "properties": {
                            "pointer": {"type": "string", "description": "JSON pointer into this object (RFC 6901)"},
                            "value": {"enum": ["NaN", "Infinity", "-Infinity"]},
                        },
                    },
                },
            },
        },
    },
}
