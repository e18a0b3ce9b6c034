"""The result object: what a synchronous call answers, and what a job keeps."""

from typing import Any

import orjson

from ai_platform.models.loader import ServedModel
from ai_platform.runtimes.runtime import Outputs


def answer(served: ServedModel, outputs: Outputs, *, single: bool) -> dict[str, Any]:
    """The result object without its `id`.

    Args:
        served: the version that made the outputs.
        outputs: n aligned outputs; n is 1 when `single`.
        single: one instance was sent as `features`, so that one prediction is answered.
    """
    classes = served.manifest.signature.classes
    body: dict[str, Any]
    if single:
        body = {"prediction": outputs.predictions[0]}
        if classes and outputs.class_numbers is not None:
            body["label"] = classes[outputs.class_numbers[0]]
        if outputs.probabilities is not None:
            body["probabilities"] = outputs.probabilities[0]
    else:
        body = {"predictions": outputs.predictions}
        if classes and outputs.class_numbers is not None:
            body["labels"] = [classes[number] for number in outputs.class_numbers]
        if outputs.probabilities is not None:
            body["probabilities"] = outputs.probabilities
    if classes:
        body["classes"] = classes
    body["model"] = served.name
    body["version"] = served.version
    return body


def encode(body: dict[str, Any]) -> bytes:
    """The result object as JSON bytes, without a closing id: `with_id` adds one to each copy."""
    return orjson.dumps(body)


def with_id(encoded: bytes, prediction_id: str) -> bytes:
    """The encoded object with its own id as the last member; `prediction_id` is of this platform's making."""
    return encoded[:-1] + b',"id":"' + prediction_id.encode("ascii") + b'"}'
