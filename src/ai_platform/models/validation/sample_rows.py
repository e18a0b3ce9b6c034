"""Rows to try a model with: those of a sample in the model's order, or one made up from the signature."""

from collections.abc import Sequence

import msgspec

from ai_platform.errors import ArtifactRefused
from ai_platform.runtimes.base.cells import typed
from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature, Signature

GOLDEN_ROWS = 10


def in_signature_order(
    inputs: Sequence[Feature], rows: Sequence[Sequence[Value]], signature: Signature, *, is_text: bool = False
) -> list[list[Value]]:
    """Rows of a sample in the order of a signature, without those that lack a value which the model needs.

    Args:
        inputs: what the columns of the rows are.
        rows: shape (n, len(inputs)).
        signature: the model's; matched by name, or by position when the names are others and as many.
        is_text: whether the values are cells of a text file, to be typed by the signature.

    Raises:
        ArtifactRefused: the sample lacks an input, or a cell is none of its input's values.
    """
    places = {feature.name: place for place, feature in enumerate(inputs)}
    absent = [feature.name for feature in signature.inputs if feature.name not in places]
    if absent and len(inputs) != len(signature.inputs):
        raise ArtifactRefused(f"the sample has no column {absent[0]!r}; give --sample with all inputs of the model")
    order = range(len(inputs)) if absent else [places[feature.name] for feature in signature.inputs]
    read = _from_text if is_text else _as_served
    served = (
        [read(feature, row[place]) for feature, place in zip(signature.inputs, order, strict=True)] for row in rows
    )
    return [
        row
        for row in served
        if all(value is not None or feature.nullable for feature, value in zip(signature.inputs, row, strict=True))
    ]


def _from_text(feature: Feature, cell: Value) -> Value:
    try:
        return typed("" if cell is None else str(cell), feature)
    except ValueError as error:
        raise ArtifactRefused(f"a cell of the sample's column {feature.name!r} {error}") from None


def _as_served(feature: Feature, value: Value) -> Value:
    """A value of a sample as callers' JSON reaches a model: whole numbers of a column of numbers as floats."""
    if value is None or isinstance(value, str) or feature.type == "string":
        return value
    if feature.type == "boolean":
        return bool(value) if value in {0, 1} else value
    return int(value) if feature.type == "integer" and value == int(value) else float(value)


def synthetic_row(signature: Signature) -> list[Value]:
    """One row that a model with this signature should be able to predict."""
    return [_value(feature) for feature in signature.inputs]


def shown(signature: Signature) -> list[Value]:
    """The row that documentation shows: the examples, null only where it is admitted."""
    made_up = zip(signature.inputs, synthetic_row(signature), strict=True)
    return [None if feature.nullable and feature.example is None else value for feature, value in made_up]


def with_examples(signature: Signature, row: Sequence[Value]) -> Signature:
    """A signature whose inputs show this row, which the model predicts, as their examples."""
    shown = zip(signature.inputs, row, strict=True)
    return msgspec.structs.replace(
        signature, inputs=tuple(msgspec.structs.replace(feature, example=value) for feature, value in shown)
    )


def _value(feature: Feature) -> Value:
    if feature.example is not None:
        return feature.example
    if feature.categories:
        return feature.categories[0]
    if feature.type == "string":
        return ""
    if feature.type == "boolean":
        return False
    known = [bound for bound in (feature.minimum, feature.maximum) if bound is not None]
    middle = sum(known) / len(known) if known else 0.0
    return int(middle) if feature.type == "integer" else middle
