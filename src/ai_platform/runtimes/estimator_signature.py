"""The signature of a fitted scikit-learn estimator: from itself first, completed by what a sample shows."""

import json
from typing import Any

import msgspec

from ai_platform.runtimes.estimator_inputs import MOST_CATEGORIES, KnownInput, known_inputs, takes_text
from ai_platform.runtimes.runtime import Hints
from ai_platform.runtimes.signature import Feature, Signature


def signature_of(estimator: Any, hints: Hints) -> Signature:
    """Inputs and classes of a fitted estimator.

    Inputs have the names of the DataFrame that it was trained on; else those of the sample; else x0, x1 and so on.
    Columns that a ColumnTransformer drops are no inputs. A model with several outputs has no classes.

    Raises:
        ValueError: it does not know its inputs, or the hints do not fit it.
    """
    inputs = _inputs(estimator, hints.inputs)
    values = class_values(estimator)
    if values is None:
        if hints.classes is not None:
            raise ValueError("--classes names a classifier's classes, and this model is no classifier with one output")
        return Signature(inputs=inputs)
    names = hints.classes or tuple(class_name(value) for value in values)
    if len(names) != len(values):
        own = ", ".join(class_name(value) for value in values[:10])
        raise ValueError(f"--classes names {len(names)} classes, and the model has {len(values)}: {own}")
    return Signature(inputs=inputs, classes=names, class_values=None if list(names) == values else tuple(values))


def class_values(estimator: Any) -> list[Any] | None:
    """What a classifier predicts, in the order of its probabilities; None for any other, and for several outputs."""
    classes = getattr(estimator, "classes_", None)
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    outputs = getattr(getattr(last, "_label_binarizer", None), "y_type_", "")
    if classes is None or isinstance(classes, list) or getattr(last, "multilabel_", False):
        return None
    if outputs.startswith("multilabel"):
        return None
    return [value.item() if hasattr(value, "item") else value for value in classes.tolist()]


def class_name(value: Any) -> str:
    """A class as a string: itself, or as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _inputs(estimator: Any, sample: tuple[Feature, ...] | None) -> tuple[Feature, ...]:
    known = known_inputs(estimator)
    if known is None and takes_text(estimator):
        text = next((feature for feature in sample or () if feature.type == "string"), None)
        return (text or Feature(name="text", type="string"),)
    if known is None:
        if sample is None:
            raise ValueError("the model does not know its own inputs; give --sample with their columns")
        return sample
    used = [one for one in known if one.used or one.name is None]
    return tuple(
        _feature(one, number, hint) for number, (one, hint) in enumerate(zip(used, _hints(used, sample), strict=True))
    )


def _hints(known: list[KnownInput], sample: tuple[Feature, ...] | None) -> list[Feature | None]:
    """What a sample shows of each input: by name where the model has names, by position where it has none."""
    if sample is None:
        return [None] * len(known)
    if known and known[0].name is None:
        if len(sample) != len(known):
            raise ValueError(
                f"the sample has {len(sample)} columns and the model takes {len(known)}; it was trained without names,"
                " so give --sample with just its inputs, in the order of training"
            )
        return list(sample)
    by_name = {feature.name: feature for feature in sample}
    absent = [one.name for one in known if one.name not in by_name]
    if absent:
        raise ValueError(f"the sample has no column {absent[0]!r}; give --sample with all columns of training")
    return [by_name[one.name] for one in known if one.name is not None]


def _feature(known: KnownInput, number: int, hint: Feature | None) -> Feature:
    name = known.name or (f"x{number}" if hint is None else hint.name)
    own = known.type or "number"
    if hint is None:
        shown = _shown(known.categories)
        example = shown[0] if shown else None
        return Feature(name=name, type=own, nullable=known.missing is True, categories=shown, example=example)
    # A whole number in a few rows of a sample does not make a column one of whole numbers.
    seen = "number" if hint.type == "integer" else hint.type
    nullable = known.missing is True or (known.missing is None and hint.nullable)
    feature = msgspec.structs.replace(hint, name=name, type=known.type or seen, nullable=nullable)
    if known.categories is not None:
        feature = msgspec.structs.replace(feature, categories=_shown(known.categories))
    return feature


def _shown(categories: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return categories if categories and len(categories) <= MOST_CATEGORIES else None
