"""From body bytes to instances in one pass: a typed decoder built once per signature, exact for what it admits.

msgspec reads and checks types, counts and names together, and accepts duplicate keys; but two equal keys need two more
quotation marks than the decoded instances account for. So a body whose quotation marks are exactly accounted for has no
duplicate, and any other body, right or wrong, takes the careful way, which also words the faults. Texts account for two
marks each; those that hold an escaped mark, a line break or anything else that is not printable go the careful way.
"""

import json
from typing import Any

import msgspec

from ai_platform.inputs.instances import Instances
from ai_platform.inputs.strict_json import loads
from ai_platform.inputs.validation import LARGEST_NUMBER, validate
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings

# Rows with texts are looked through one by one: more of them take the careful way, which need not be on the event loop.
_MOST_ROWS_OF_TEXTS = 64
_KINDS: dict[str, type] = {"number": float, "string": str}
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
        has_texts = any(feature.type == "string" for feature in signature.inputs)
        self._account = self._accounted_with_texts if has_texts else self._accounted
        # A character has four bytes at most.
        self._longest_text = limits.string_bytes // 4
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
        return self._account(decoded, body)

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

    def _accounted_with_texts(self, decoded: Any, body: bytes) -> Instances | None:
        features, instances = decoded.features, decoded.instances
        single = instances is msgspec.UNSET
        if single == (features is msgspec.UNSET):
            return None
        given = [features] if single else instances
        if not 0 < len(given) <= min(self._limits.rows, _MOST_ROWS_OF_TEXTS):
            return None
        marks, rows = _QUOTES, []
        for instance in given:
            is_named = type(instance) is not tuple
            row = list(msgspec.structs.astuple(instance) if is_named else instance)
            texts = self._texts_of(row)
            if texts is None:
                return None
            marks += 2 * (texts + (self._width if is_named else 0))
            rows.append(row)
        return Instances(rows, single) if body.count(b'"') == marks else None

    def _texts_of(self, row: list[Any]) -> int | None:
        """How many values are texts; None where one is for the careful way. Types and nulls are right already."""
        texts = 0
        for value in row:
            if type(value) is str:
                texts += 1
                if len(value) > self._longest_text or not value.isprintable():
                    return None
            elif value is not None and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
                return None
        return texts

    def _in_range(self, row: list[Any]) -> bool:
        if not self._nullable:
            return bool(min(row) >= -LARGEST_NUMBER and max(row) <= LARGEST_NUMBER)
        return all(
            nullable if value is None else -LARGEST_NUMBER <= value <= LARGEST_NUMBER
            for value, nullable in zip(row, self._nullable, strict=True)
        )


def _typed_decoder(inputs: tuple[Feature, ...]) -> "msgspec.json.Decoder[Any] | None":
    """A decoder for signatures of plain numbers and texts with plain names; None for all others.

    A field that may be null must still be there: one that is left out would unbalance the account of quotation marks,
    and the careful way takes it.
    """
    if any(feature.type not in _KINDS or feature.enforced for feature in inputs):
        return None
    if any(json.dumps(feature.name, ensure_ascii=False) != f'"{feature.name}"' for feature in inputs):
        return None  # a name that JSON must escape can be spelt in several ways
    names = {f"f{number}": feature.name for number, feature in enumerate(inputs)}
    kinds: list[Any] = [_KINDS[feature.type] | None if feature.nullable else _KINDS[feature.type] for feature in inputs]
    fields = [(f"f{number}", kind) for number, kind in enumerate(kinds)]
    row: Any = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True)
    value: Any = float | None if any(feature.nullable for feature in inputs) else float
    by_position: Any = tuple[tuple(kinds)] if any(one.type == "string" for one in inputs) else list[value]  # type: ignore[misc]
    instance: Any = by_position | row
    body: Any = msgspec.defstruct(
        "Body",
        [
            ("features", instance | msgspec.UnsetType, msgspec.UNSET),
            ("instances", list[instance] | msgspec.UnsetType, msgspec.UNSET),
        ],
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(body)
