"""Checking a parsed body against a signature, with a pointer to each fault. The reference for the typed decoder."""

import itertools
from collections.abc import Iterator
from typing import Any

from ai_platform.errors import InputFault, InvalidInput
from ai_platform.inputs.instances import Instances
from ai_platform.runtimes.runtime import Value
from ai_platform.runtimes.signature import Feature, Signature
from ai_platform.settings import LimitSettings

MAX_FAULTS = 20
LARGEST_EXACT_INTEGER = 2**53
# Products of larger numbers leave the range of a double within a model, which then fails for what it was given.
LARGEST_NUMBER = 1e100


def validate(document: Any, signature: Signature, limits: LimitSettings) -> Instances:
    """Check a body: `{"features": [...] | {...}}` or `{"instances": [[...] | {...}, ...]}`.

    Raises:
        InvalidInput: with at most 20 faults; none holds a value that was sent.
    """
    check = _Check(signature, limits)
    instances = check.body(document)
    if check.faults:
        shown = check.faults[:MAX_FAULTS]
        raise InvalidInput("the input does not match the model's signature", shown)
    assert instances is not None
    return instances


class _Check:
    def __init__(self, signature: Signature, limits: LimitSettings) -> None:
        self.inputs = signature.inputs
        self.names = {feature.name for feature in signature.inputs}
        self.limits = limits
        self.faults: list[InputFault] = []

    def fault(self, pointer: str, detail: str) -> None:
        self.faults.append(InputFault(pointer, detail))

    def body(self, document: Any) -> Instances | None:
        if not isinstance(document, dict):
            self.fault("", 'must be an object with "features" or "instances"')
            return None
        for name in itertools.islice(document.keys() - {"features", "instances"}, MAX_FAULTS):
            self.fault(f"/{_escape(name)}", 'unknown field; only "features" or "instances" is read')
        if ("features" in document) == ("instances" in document):
            self.fault("", 'must hold exactly one of "features" (one instance) and "instances" (many)')
            return None
        if "features" in document:
            return Instances([self.row(document["features"], "/features")], single=True)
        return self.many(document["instances"])

    def many(self, instances: Any) -> Instances | None:
        if not isinstance(instances, list):
            self.fault("/instances", "must be a list of instances")
            return None
        if not instances:
            self.fault("/instances", "must hold at least one instance")
        if len(instances) > self.limits.rows:
            self.fault(
                "/instances",
                f"must hold at most {self.limits.rows} instances (AI_PLATFORM_LIMITS__ROWS); split them into several"
                " requests or jobs",
            )
            return None
        rows = []
        for number, instance in enumerate(instances):
            rows.append(self.row(instance, f"/instances/{number}"))
            if len(self.faults) >= MAX_FAULTS:
                break
        return Instances(rows, single=False)

    def row(self, instance: Any, pointer: str) -> list[Value]:
        if isinstance(instance, list):
            return self.by_position(instance, pointer)
        if isinstance(instance, dict):
            return self.by_name(instance, pointer)
        self.fault(pointer, f"must be a list of {len(self.inputs)} values, or an object by name")
        return []

    def by_position(self, values: list[Any], pointer: str) -> list[Value]:
        if len(values) != len(self.inputs):
            names = ", ".join(feature.name for feature in self.inputs[:8])
            more = ", …" if len(self.inputs) > 8 else ""  # noqa: PLR2004
            self.fault(pointer, f"must have {len(self.inputs)} values ({names}{more}), has {len(values)}")
            return []
        return [
            self.value(feature, value, f"{pointer}/{number}")
            for number, (feature, value) in enumerate(zip(self.inputs, values, strict=True))
        ]

    def by_name(self, values: dict[str, Any], pointer: str) -> list[Value]:
        for name in itertools.islice(values.keys() - self.names, MAX_FAULTS):
            self.fault(f"{pointer}/{_escape(name)}", "unknown feature")
        row: list[Value] = []
        for feature in self.inputs:
            here = f"{pointer}/{_escape(feature.name)}"
            if feature.name in values:
                row.append(self.value(feature, values[feature.name], here))
            elif feature.nullable:
                row.append(None)
            else:
                self.fault(here, "is missing")
        return row

    def value(self, feature: Feature, value: Any, pointer: str) -> Value:
        detail = next(_value_faults(feature, value, self.limits), None)
        if detail is not None:
            self.fault(pointer, detail)
            return None
        return float(value) if feature.type == "number" and value is not None else value


def _value_faults(feature: Feature, value: Any, limits: LimitSettings) -> Iterator[str]:
    if value is None:
        if not feature.nullable:
            yield f"must be {'an' if feature.type == 'integer' else 'a'} {feature.type}, not null"
    elif feature.type == "string":
        yield from _text_faults(value, limits)
    elif feature.type == "boolean":
        if not isinstance(value, bool):
            yield "must be true or false"
    else:
        yield from _number_faults(feature, value)


def _number_faults(feature: Feature, value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"must be {'an integer' if feature.type == 'integer' else 'a number'}"
        return
    if feature.type == "integer" and (not isinstance(value, int) or abs(value) > LARGEST_EXACT_INTEGER):
        yield "must be an integer of at most 2^53"
    elif not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        yield f"must be from {-LARGEST_NUMBER:g} to {LARGEST_NUMBER:g}"
    elif feature.enforced and feature.minimum is not None and value < feature.minimum:
        yield f"must be at least {feature.minimum:g}"
    elif feature.enforced and feature.maximum is not None and value > feature.maximum:
        yield f"must be at most {feature.maximum:g}"


def _text_faults(value: Any, limits: LimitSettings) -> Iterator[str]:
    if not isinstance(value, str):
        yield "must be a string"
    elif len(value.encode("utf-8", "replace")) > limits.string_bytes:
        yield f"must be at most {limits.string_bytes} bytes long"
    elif any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value):  # noqa: PLR2004
        yield "must not hold control characters"


def _escape(name: str) -> str:
    """A key as a reference token of RFC 6901; cut, because it is the caller's and shown back."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:64])
    return shown.replace("~", "~0").replace("/", "~1")
