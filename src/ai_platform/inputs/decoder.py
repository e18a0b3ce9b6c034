"""From body bytes to instances in one pass: a typed decoder built once per signature, exact for what it admits.

msgspec reads and checks types, counts and names together, and accepts duplicate keys; but two equal keys need two more
quotation marks than the decoded instances account for. So a body whose quotation marks are exactly accounted for has no
duplicate, and any other body, right or wrong, takes the careful way, which also words the faults.
"""

import json
from typing import Any

import msgspec

from ai_platform.inputs.instances import Instances
from ai_platform.inputs.strict_json import loads
from ai_platform.inputs.validation import LARGEST_NUMBER, validate
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings

# Around the one name that a body has outside its instances.
_QUOTES = 2


class InstanceDecoder:
    """Decodes the bodies of one model.

    Args:
        signature: what the model admits.
        limits: most rows, longest strings.
    """

    def __init__(self, signature: Signature, limits: LimitSettings) -> None:
        self._signature = signature
        self._limits = limits
        self._decoder = _typed_decoder(signature.inputs)
        self._width = len(signature.inputs)
        # Empty when nothing may be null, which is checked faster.
        nullable = [feature.nullable for feature in signature.inputs]
        self._nullable = nullable if any(nullable) else []
        # The rows, what they stand in, and some room, so that a caller who sends a few rows too many is told just that.
        self._max_containers = limits.rows + 64

    def decode(self, body: bytes) -> Instances:
        """Decode and check a whole body.

        Raises:
            InvalidJson: it is not strict JSON.
            InvalidInput: it is not an input of this model.
        """
        found = self.at_once(body)
        return self.carefully(body) if found is None else found

    def at_once(self, body: bytes) -> Instances | None:
        """The instances of a body that the typed decoder covers; None of any other, right or wrong."""
        if self._decoder is None:
            return None
        try:
            decoded = self._decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return self._accounted(decoded, body)

    def carefully(self, body: bytes) -> Instances:
        """Decode and check any body; some microseconds a value, in whichever thread.

        Raises:
            InvalidJson, InvalidInput: as `decode`.
        """
        return validate(loads(body, self._max_containers), self._signature, self._limits)

    def _accounted(self, decoded: Any, body: bytes) -> Instances | None:
        features, instances = decoded.features, decoded.instances
        if type(features) is list and instances is msgspec.UNSET:
            accounted = len(features) == self._width and body.count(b'"') == _QUOTES and self._in_range(features)
            return Instances([features], single=True) if accounted else None
        single = instances is msgspec.UNSET
        if single == (features is msgspec.UNSET):
            return None
        given = [features] if single else instances
        if not 0 < len(given) <= self._limits.rows:
            return None
        named = sum(1 for instance in given if type(instance) is not list)
        if body.count(b'"') != _QUOTES + 2 * self._width * named:
            return None
        rows = [instance if type(instance) is list else list(msgspec.structs.astuple(instance)) for instance in given]
        if any(len(row) != self._width or not self._in_range(row) for row in rows):
            return None
        return Instances(rows, single)

    def _in_range(self, row: list[Any]) -> bool:
        if not self._nullable:
            return bool(min(row) >= -LARGEST_NUMBER and max(row) <= LARGEST_NUMBER)
        return all(
            nullable if value is None else -LARGEST_NUMBER <= value <= LARGEST_NUMBER
            for value, nullable in zip(row, self._nullable, strict=True)
        )


def _typed_decoder(inputs: tuple[Feature, ...]) -> "msgspec.json.Decoder[Any] | None":
    """A decoder for signatures of plain numbers with plain names, the ones worth microseconds; None for all others.

    A field that may be null must still be there: one that is left out would unbalance the account of quotation marks,
    and the careful way takes it.
    """
    if any(feature.type != "number" or feature.enforced for feature in inputs):
        return None
    if any(json.dumps(feature.name, ensure_ascii=False) != f'"{feature.name}"' for feature in inputs):
        return None  # a name that JSON must escape can be spelt in several ways
    names = {f"f{number}": feature.name for number, feature in enumerate(inputs)}
    fields = [(f"f{number}", float | None if feature.nullable else float) for number, feature in enumerate(inputs)]
    row: Any = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True)
    value: Any = float | None if any(feature.nullable for feature in inputs) else float
    instance: Any = list[value] | row
    body: Any = msgspec.defstruct(
        "Body",
        [
            ("features", instance | msgspec.UnsetType, msgspec.UNSET),
            ("instances", list[instance] | msgspec.UnsetType, msgspec.UNSET),
        ],
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(body)
