"""The result object: what a synchronous call answers, and what a job keeps."""

from typing import Any

import orjson

from ai_platform.errors import ModelFailed, NonFiniteOutput
from ai_platform.runtimes.base.non_finite import MOST_LISTED, non_finite
from ai_platform.runtimes.base.runtime import Outputs
from ai_platform.runtimes.base.signature import Signature
from ai_platform.settings import NonFinite


class AnswerEncoder:
    """Writes the result objects of one version; what is the same in all of them was encoded once.

    Args:
        model: the model's name.
        version: its number.
        signature: classes, if it is a classifier.
        non_finite: what becomes of outputs that JSON has no numbers for: `null`, with `non_finite` in the answer
            saying where and what, or `error`.
    """

    def __init__(self, model: str, version: int, signature: Signature, non_finite: NonFinite = "null") -> None:
        self.non_finite = non_finite
        self._classes = signature.classes
        self._labels = [b',"label":' + orjson.dumps(name) for name in signature.classes or ()]
        classes = {"classes": signature.classes} if signature.classes else {}
        self._end = b"," + orjson.dumps({**classes, "model": model, "version": version})[1:]

    def encode(self, outputs: Outputs, *, single: bool) -> bytes:
        """The result object as JSON bytes, without a closing id: `with_id` adds one to each copy.

        Args:
            outputs: n aligned outputs; n is 1 when `single`.
            single: one instance was sent as `features`, so that one prediction is answered.

        Raises:
            NonFiniteOutput: a number is not finite, and that is an error by setting.
            ModelFailed: an output has no form in JSON.
        """
        try:
            encoded = self._one(outputs) if single else self._many(outputs)
        except TypeError as error:
            raise ModelFailed("the model's outputs have no form in JSON") from error
        # orjson writes null for what is not finite; without a null there is none.
        return self._explained(encoded, outputs, single=single) if b"null" in encoded else encoded

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

    def _explained(self, encoded: bytes, outputs: Outputs, *, single: bool) -> bytes:
        count, listed = 0, []
        for pointer, value in non_finite(outputs, single=single):
            if self.non_finite == "error":
                raise NonFiniteOutput(f"the model's output at {pointer[:80]} is {value}, which is no number in JSON")
            if count < MOST_LISTED:
                listed.append({"pointer": pointer, "value": value})
            count += 1
        if not count:
            return encoded
        return encoded[:-1] + b',"non_finite":' + orjson.dumps({"count": count, "values": listed}) + b"}"


def with_id(encoded: bytes, prediction_id: str) -> bytes:
    """The encoded object with its own id as the last member; `prediction_id` is of this platform's making."""
    return encoded[:-1] + b',"id":"' + prediction_id.encode("ascii") + b'"}'
