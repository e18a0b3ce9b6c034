"""The signature of a fitted scikit-learn estimator: from itself first, completed by what a sample shows."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.sample_columns import columns_by_name, ignored_columns
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.sklearn.inputs import MOST_CATEGORIES, KnownInput, known_inputs, takes_text


def signature_of(estimator: Any, hints: Hints) -> Signature:
    """Inputs and classes of a fitted estimator.

    Inputs have the names of the DataFrame that it was trained on; else those of the sample; else x0, x1 and so on.
    Columns that a ColumnTransformer drops are no inputs. A model with several outputs has no classes.

    Raises:
        ValueError: it does not know its inputs, or the hints do not fit it.
    """
    inputs, dropped = _inputs(estimator, hints)
    facts: dict[str, Any] = {
        "inputs": inputs, "ignored": ignored_columns(inputs, hints, dropped), "respelt": _is_respelt(estimator),
    }  # fmt: skip
    values = class_values(estimator)
    if values is None:
        if hints.classes is not None:
            raise ValueError("--classes names a classifier's classes, and this model is no classifier with one output")
        return Signature(**facts)
    names = hints.classes or tuple(class_name(value) for value in values)
    if len(names) != len(values):
        own = ", ".join(class_name(value) for value in values[:10])
        raise ValueError(f"--classes names {len(names)} classes, and the model has {len(values)}: {own}")
    return Signature(**facts, classes=names, class_values=None if list(names) == values else tuple(values))


def class_values(estimator: Any) -> list[Any] | None:
    """What a classifier predicts, in the order of its probabilities; None for any other, and for several outputs."""
    classes = getattr(estimator, "classes_", None)
    last = _last(estimator)
    outputs = getattr(getattr(last, "_label_binarizer", None), "y_type_", "")
    if classes is None or isinstance(classes, list) or getattr(last, "multilabel_", False):
        return None
    if outputs.startswith("multilabel"):
        return None
    return [value.item() if hasattr(value, "item") else value for value in classes.tolist()]


def _last(estimator: Any) -> Any:
    """What predicts in the end: inside searches and pipelines."""
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        estimator = estimator.best_estimator_ if hasattr(estimator, "best_estimator_") else estimator[-1]
    return estimator


def class_name(value: Any) -> str:
    """A class as a string: itself, or as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _inputs(estimator: Any, hints: Hints) -> tuple[tuple[Feature, ...], list[str]]:
    """The inputs, and the names of training that nothing reads."""
    known = known_inputs(estimator)
    if known is None and takes_text(estimator):
        return (_text(hints),), []
    if known is None:
        if hints.inputs is None:
            raise ValueError("the model does not know its own inputs; give --sample with their columns")
        return tuple(_unrestricted(feature) for feature in hints.inputs), []
    used = [one for one in known if one.used or one.name is None]
    inputs = tuple(
        _feature(one, number, hint) for number, (one, hint) in enumerate(zip(used, _columns(used, hints), strict=True))
    )
    return inputs, [one.name for one in known if not one.used and one.name is not None]


def _text(hints: Hints) -> Feature:
    """The one input of a model that takes texts: the sample's first column of strings, or its only column."""
    columns = hints.inputs or ()
    place = next((place for place, feature in enumerate(columns) if feature.type == "string"), None)
    if place is None and len(columns) == 1:
        place = 0
    found = None if place is None else hints.column(place, "string")
    return found if found is not None and found.type == "string" else Feature(name="text", type="string")


def _is_respelt(estimator: Any) -> bool:
    """Whether its names are LightGBM's own, which has `_` where training may have had a blank."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    first = estimator[0] if hasattr(estimator, "steps") else estimator
    names = getattr(first, "feature_names_in_", ())
    return type(first).__module__.startswith("lightgbm.") and any("_" in name for name in names)


def _columns(known: list[KnownInput], hints: Hints) -> Sequence[Feature | None]:
    """What a sample shows of each input: by name where the model has names, by position where it has none."""
    if hints.inputs is None:
        return [None] * len(known)
    kinds = [one.type or ("number" if one.numeric else None) for one in known]
    if known and known[0].name is None:
        if len(hints.inputs) != len(known):
            raise ValueError(
                f"the sample has {len(hints.inputs)} columns and the model takes {len(known)}; it was trained without"
                " names, so give --sample with just its inputs, in the order of training"
            )
        return [hints.column(place, kind) for place, kind in enumerate(kinds)]
    return columns_by_name([(one.name or "", kind) for one, kind in zip(known, kinds, strict=True)], hints)


def _feature(known: KnownInput, number: int, hint: Feature | None) -> Feature:
    # The sample's spelling is that of training, and a library may have changed it.
    name = hint.name if hint is not None else known.name or f"x{number}"
    own = known.type or "number"
    if hint is None:
        shown = _shown(known.categories)
        example = shown[0] if shown else None
        return Feature(
            name=name, type=own, nullable=known.missing is True, categories=shown, example=example,
            binary=_is_binary(known),
        )  # fmt: skip
    seen = _unrestricted(hint)
    nullable = known.missing is True or (known.missing is None and hint.nullable)
    feature = msgspec.structs.replace(seen, name=name, type=known.type or seen.type, nullable=nullable)
    if known.categories is not None:
        feature = msgspec.structs.replace(
            feature, categories=_shown(known.categories), example=_example(known, hint), binary=_is_binary(known)
        )
    return feature


def _unrestricted(hint: Feature) -> Feature:
    """A column whose rows happen to be whole numbers is one of numbers."""
    return msgspec.structs.replace(hint, type="number") if hint.type == "integer" else hint


def _example(known: KnownInput, hint: Feature) -> Any:
    """The sample's example where the encoder knows it, else the encoder's first category."""
    categories = known.categories or (hint.example,)
    return next((value for value in categories if value == hint.example), categories[0])


def _is_binary(known: KnownInput) -> bool:
    return known.type in {"number", "integer"} and set(known.categories or ()) == {0, 1}


def _shown(categories: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return categories if categories and len(categories) <= MOST_CATEGORIES else None
