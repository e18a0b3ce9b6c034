"""What boosted trees answer, whichever library grew them."""

from typing import Any, Literal

from ai_platform.runtimes.base.runtime import Outputs
from ai_platform.runtimes.base.signature import Signature

Answer = Literal["probability", "probabilities", "label", "number"]
"""What the library's raw prediction of a row is: of the second of two classes, of each class, a class, or a number."""

MISSING_EXTRA = "install the extra that brings it: pip install 'ai-platform[boosters]'"
_HALF = 0.5


class BoosterOutputs:
    """Makes outputs of raw predictions.

    Args:
        answer: what they are.
        class_count: classes of the model; ignored for numbers.
        signature: its classes.

    Raises:
        ValueError: the signature has another number of classes.
    """

    def __init__(self, answer: Answer, class_count: int, signature: Signature) -> None:
        count = 0 if answer == "number" else class_count
        found = len(signature.classes or ())
        if found != count:
            raise ValueError(f"the signature has {found} classes, and the model has {count}")
        self._answer = answer
        self._values: list[Any] = list(signature.class_values or signature.classes or ())

    def of(self, raw: Any) -> Outputs:
        """Outputs of an array of shape (n,) or (n, columns)."""
        if self._answer == "number":
            return Outputs(raw.tolist())
        if self._answer == "probability":
            probabilities = [[1.0 - second, second] for second in raw.tolist()]
            numbers = [int(second > _HALF) for _first, second in probabilities]
            return Outputs([self._values[number] for number in numbers], numbers, probabilities)
        if self._answer == "label":
            numbers = [int(label) for label in raw.tolist()]
            return Outputs([self._values[number] for number in numbers], numbers)
        numbers = raw.argmax(axis=1).tolist()
        return Outputs([self._values[number] for number in numbers], numbers, raw.tolist())


def check_inputs(signature: Signature, count: int) -> None:
    """See that a signature has as many inputs as the model.

    Raises:
        ValueError: it has others.
    """
    if len(signature.inputs) != count:
        raise ValueError(f"the signature has {len(signature.inputs)} inputs, and the model takes {count}")
