"""The result object: what a synchronous call answers, and what a job keeps."""

from typing import Any

import orjson

from ai_platform.runtimes.runtime import Outputs
from ai_platform.runtimes.signature import Signature


class AnswerEncoder:
    """Writes the result objects of one version; what is the same in all of them was encoded once.

    Args:
        model: the model's name.
        version: its number.
        signature: classes, if it is a classifier.
    """

    def __init__(self, model: str, version: int, signature: Signature) -> None:
        self._classes = signature.classes
        self._labels = [b',"label":' + orjson.dumps(name) for name in signature.classes or ()]
        classes = {"classes": signature.classes} if signature.classes else {}
        self._end = b"," + orjson.dumps({**classes, "model": model, "version": version})[1:]

    def encode(self, outputs: Outputs, *, single: bool) -> bytes:
        """The result object as JSON bytes, without a closing id: `with_id` adds one to each copy.

        Args:
            outputs: n aligned outputs; n is 1 when `single`.
            single: one instance was sent as `features`, so that one prediction is answered.
        """
        return self._one(outputs) if single else self._many(outputs)

    def _one(self, outputs: Outputs) -> bytes:
        encoded = b'{"prediction":' + orjson.dumps(outputs.predictions[0])
        if self._classes and outputs.class_numbers is not None:
            encoded += self._labels[outputs.class_numbers[0]]
        if outputs.probabilities is not None:
            encoded += b',"probabilities":' + orjson.dumps(outputs.probabilities[0])
        return encoded + self._end

    def _many(self, outputs: Outputs) -> bytes:
        body: dict[str, Any] = {"predictions": outputs.predictions}
        if self._classes and outputs.class_numbers is not None:
            body["labels"] = [self._classes[number] for number in outputs.class_numbers]
        if outputs.probabilities is not None:
            body["probabilities"] = outputs.probabilities
        return orjson.dumps(body)[:-1] + self._end


def with_id(encoded: bytes, prediction_id: str) -> bytes:
    """The encoded object with its own id as the last member; `prediction_id` is of this platform's making."""
    return encoded[:-1] + b',"id":"' + prediction_id.encode("ascii") + b'"}'
