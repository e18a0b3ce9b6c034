"""Checking a parsed body against a signature, with a pointer to each fault. The reference for the typed decoder."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from ai_platform.errors import InputFault, InvalidInput
from ai_platform.inputs.instances import Instances
from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings
from ai_platform.tables.names import spelt

MAX_FAULTS = 20
LARGEST_EXACT_INTEGER = 2**53
# Products of larger numbers leave the range of a double within a model, which then fails for what it was given.
LARGEST_NUMBER = 1e100
# Tabs and line breaks are part of texts. PostgreSQL's JSON knows no zero character.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")


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
        self.known = self.names | set(signature.ignored)
        self.ignores_others = signature.extra == "ignore"
        self.spellings = _spellings(signature) if signature.respelt else {}
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
        if values.keys() != self.names:
            values = self.in_own_spelling(values, pointer)
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

    def in_own_spelling(self, values: dict[str, Any], pointer: str) -> dict[str, Any]:
        """An instance with the signature's names where the library's were sent; names that nothing knows are faults."""
        found = dict(values)
        strange = []
        for name in values.keys() - self.known:
            own = self.spellings.get(spelt(name))
            if own is not None and own not in found:
                found[own] = values[name]
            elif own is not None:
                strange.append((name, f"is the same feature as {_escape(own)}, given twice"))
            elif not self.ignores_others:
                strange.append((name, "unknown feature"))
        for name, detail in strange[:MAX_FAULTS]:
            self.fault(f"{pointer}/{_escape(name)}", detail)
        return found

    def value(self, feature: Feature, value: Any, pointer: str) -> Value:
        if isinstance(value, bool | int | float):
            value = _as_declared(feature, value)
        detail = next(_value_faults(feature, value, self.limits), None)
        if detail is not None:
            self.fault(pointer, detail)
            return None
        return float(value) if feature.type == "number" and value is not None else value


def _spellings(signature: Signature) -> dict[str, str]:
    """How a library spells each name to the name; of those that it would confuse, none."""
    spellings = [spelt(feature.name) for feature in signature.inputs]
    return {
        spelling: feature.name
        for spelling, feature in zip(spellings, signature.inputs, strict=True)
        if spellings.count(spelling) == 1
    }


def _as_declared(feature: Feature, value: bool | float) -> bool | float:  # noqa: FBT001  # the value itself
    """One value where JSON has two ways to write it: 1 and true where both are one thing, 41.0 and 41."""
    if feature.type == "boolean":
        return bool(value) if value in {0, 1} else value
    if isinstance(value, bool):
        return int(value) if feature.binary else value
    if feature.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _value_faults(feature: Feature, value: Any, limits: LimitSettings) -> Iterator[str]:
    if value is None:
        if not feature.nullable:
            yield f"must be {'an' if feature.type == 'integer' else 'a'} {feature.type}, not null"
    elif feature.type == "string":
        yield from _text_faults(value, limits)
    elif feature.type == "boolean":
        if not isinstance(value, bool):
            yield "must be true or false, or 1 or 0"
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
        yield f"must be at most {limits.string_bytes} bytes long (AI_PLATFORM_LIMITS__STRING_BYTES)"
    elif _CONTROLS.search(value):
        yield "must not hold control characters other than tabs and line breaks"


def _escape(name: str) -> str:
    """A key as a reference token of RFC 6901; cut, because it is the caller's and shown back."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:64])
    return shown.replace("~", "~0").replace("/", "~1")
