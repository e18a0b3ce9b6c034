"""Inputs and classes as a model file knows them, completed by what a publisher says. For files of plain data."""

from collections.abc import Sequence

import msgspec

from ai_platform.runtimes.runtime import Hints
from ai_platform.runtimes.signature import Feature, Signature

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
        _completed(feature, hint, named=named, missing=missing)
        for feature, hint in zip(known, _matching(known, hints.inputs, named=named), strict=True)
    )


def _matching(known: Sequence[Feature], sample: tuple[Feature, ...], *, named: bool) -> list[Feature]:
    if not named:
        if len(sample) != len(known):
            raise ValueError(
                f"the sample has {len(sample)} columns and the model takes {len(known)}; the file holds no names,"
                " so give --sample with just its inputs, in the order of training"
            )
        return list(sample)
    by_name = {feature.name: feature for feature in sample}
    absent = [feature.name for feature in known if feature.name not in by_name]
    if absent:
        raise ValueError(f"the sample has no column {absent[0]!r}; give --sample with all inputs of the model")
    return [by_name[feature.name] for feature in known]


def _completed(feature: Feature, hint: Feature, *, named: bool, missing: bool | None) -> Feature:
    name = feature.name if named else hint.name
    if hint.type != feature.type and not (hint.type in _NUMBERS | {"boolean"} and feature.type in _NUMBERS):
        raise ValueError(f"the sample's column {name!r} holds {hint.type} values, and the model takes {feature.type}")
    nullable = hint.nullable if missing is None else missing
    return msgspec.structs.replace(
        hint,
        name=name,
        type=feature.type,
        nullable=nullable,
        categories=feature.categories if feature.categories is not None else hint.categories,
        example=hint.example if hint.type == feature.type or not isinstance(hint.example, bool) else int(hint.example),
    )


def classifier(inputs: tuple[Feature, ...], values: Sequence[int | float | str | bool], hints: Hints) -> Signature:
    """The signature of a classifier.

    Args:
        inputs: its inputs.
        values: what it predicts, in the order of its probabilities.
        hints: of the publisher, who may name the classes.

    Raises:
        ValueError: the hints name another number of classes.
    """
    own = tuple(value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values)
    classes = hints.classes or own
    if len(classes) != len(values):
        raise ValueError(f"--classes names {len(classes)} classes, and the model has {len(values)}")
    return Signature(inputs=inputs, classes=classes, class_values=None if tuple(values) == classes else tuple(values))


def regressor(inputs: tuple[Feature, ...], hints: Hints) -> Signature:
    """The signature of a model that predicts numbers.

    Raises:
        ValueError: the hints name classes.
    """
    if hints.classes is not None:
        raise ValueError("--classes is given, and the model predicts numbers and not classes")
    return Signature(inputs=inputs)


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
