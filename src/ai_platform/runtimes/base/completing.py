"""Inputs and classes as a model file knows them, completed by what a publisher says. For files of plain data."""

from collections.abc import Sequence

import msgspec

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.sample_columns import columns_by_name, ignored_columns
from ai_platform.runtimes.base.signature import Feature, Signature

_NUMBERS = frozenset({"number", "integer"})


def completed_inputs(
    known: Sequence[Feature], hints: Hints, *, named: bool, missing: bool | None = None
) -> tuple[Feature, ...]:
    """Inputs of the file with what a sample shows of them: ranges, an example, names where the file has none.

    Args:
        known: in the order of the file, with the types that it demands.
        hints: of the publisher.
        named: whether the names are the training's own. If not, the sample's columns are taken in their order.
        missing: whether the model takes missing values; None to believe the sample.

    Raises:
        ValueError: the sample has other columns or types.
    """
    if hints.inputs is None:
        return tuple(msgspec.structs.replace(feature, nullable=feature.nullable or bool(missing)) for feature in known)
    return tuple(
        _completed(feature, hint, missing=missing)
        for feature, hint in zip(known, _matching(known, hints, named=named), strict=True)
    )


def _matching(known: Sequence[Feature], hints: Hints, *, named: bool) -> list[Feature]:
    if named:
        return columns_by_name([(feature.name, feature.type) for feature in known], hints)
    sample = hints.inputs or ()
    if len(sample) != len(known):
        raise ValueError(
            f"the sample has {len(sample)} columns and the model takes {len(known)}; the file holds no names,"
            " so give --sample with just its inputs, in the order of training"
        )
    return [hints.column(place, feature.type) for place, feature in enumerate(known)]


def _completed(feature: Feature, hint: Feature, *, missing: bool | None) -> Feature:
    # The sample's spelling is that of training, and a library may have changed it.
    name = hint.name
    if hint.type in _NUMBERS and feature.type == "boolean" and hint.binary:
        hint = msgspec.structs.replace(
            hint, type="boolean", minimum=None, maximum=None, example=bool(hint.example), binary=False
        )
    if hint.type != feature.type and not (hint.type in _NUMBERS | {"boolean"} and feature.type in _NUMBERS):
        raise ValueError(f"the sample's column {name!r} holds {hint.type} values, and the model takes {feature.type}")
    nullable = hint.nullable if missing is None else missing
    return msgspec.structs.replace(
        hint,
        name=name,
        type=feature.type,
        nullable=nullable,
        categories=feature.categories
        if feature.categories is not None or feature.type in _NUMBERS
        else hint.categories,
        example=hint.example if hint.type == feature.type or not isinstance(hint.example, bool) else int(hint.example),
        binary=feature.type in _NUMBERS and (hint.binary or hint.type == "boolean"),
    )


def classifier(
    inputs: tuple[Feature, ...], values: Sequence[int | float | str | bool], hints: Hints, *, respelt: bool = False
) -> Signature:
    """The signature of a classifier.

    Args:
        inputs: its inputs.
        values: what it predicts, in the order of its probabilities.
        hints: of the publisher, who may name the classes.
        respelt: as of a signature.

    Raises:
        ValueError: the hints name another number of classes.
    """
    own = tuple(value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values)
    classes = hints.classes or own
    if len(classes) != len(values):
        raise ValueError(f"--classes names {len(classes)} classes, and the model has {len(values)}")
    return Signature(
        inputs=inputs,
        classes=classes,
        class_values=None if tuple(values) == classes else tuple(values),
        ignored=ignored_columns(inputs, hints),
        respelt=respelt,
    )


def regressor(inputs: tuple[Feature, ...], hints: Hints, *, respelt: bool = False) -> Signature:
    """The signature of a model that predicts numbers.

    Raises:
        ValueError: the hints name classes.
    """
    if hints.classes is not None:
        raise ValueError("--classes is given, and the model predicts numbers and not classes")
    return Signature(inputs=inputs, ignored=ignored_columns(inputs, hints), respelt=respelt)


def several_labels(inputs: tuple[Feature, ...], hints: Hints) -> Signature:
    """The signature of a model that predicts several labels a row: each is an output with classes of its own.

    Raises:
        ValueError: the hints name classes.
    """
    if hints.classes is not None:
        raise ValueError(
            "--classes names the classes of one label, and the model answers with several labels a row; publish it"
            " without --classes: a prediction is the list of a row's labels"
        )
    return Signature(inputs=inputs)


def numbered(count: int) -> list[Feature]:
    """Numbers x0, x1 and so on: the inputs of a model that was trained on arrays."""
    return [Feature(name=f"x{place}") for place in range(count)]
