"""What a fitted scikit-learn estimator knows of its inputs: names, types, categories, and whether one may be missing.

Each column is followed through the steps that it meets. A path ends where a missing value is filled in, is a category
of its own, is refused, or reaches an estimator that splits on it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ai_platform.runtimes.base.signature import FeatureType

MOST_CATEGORIES = 100
# What holds fitted estimators that are each given the same columns as itself.
_ENSEMBLES = ("sklearn.ensemble._voting", "sklearn.ensemble._stacking", "sklearn.multioutput", "sklearn.multiclass")
_WRAPPERS = ("sklearn.model_selection", "sklearn.semi_supervised", "sklearn.frozen")


@dataclass(slots=True)
class KnownInput:
    """One column as the estimator knows it.

    Attributes:
        name: as in training; None when it was trained on arrays.
        type: None when nothing in the estimator says; then it takes numbers, or what a sample says.
        categories: values that an encoder learnt, without the missing one; None when there is no encoder.
        used: whether anything reads it; a ColumnTransformer drops the columns that it does not name.
        missing_is_none: whether a missing value was None in training, and not NaN.
        ends: what became of a missing value on each path: True accepted, False refused, None no telling.
        numeric: whether it reaches an estimator that takes numbers alone, and no other.
    """

    name: str | None = None
    type: FeatureType | None = None
    categories: tuple[Any, ...] | None = None
    used: bool = False
    missing_is_none: bool = False
    ends: list[bool | None] = field(default_factory=list)
    numeric: bool = False

    @property
    def missing(self) -> bool | None:
        """Whether a missing value is accepted; None when there is no telling."""
        if False in self.ends:
            return False
        return None if None in self.ends or not self.ends else True


@dataclass(frozen=True, slots=True)
class _Flow:
    """Columns on their way: the input that each comes from, and whether a missing value could still be in it."""

    columns: list[tuple[int, bool]]
    in_order: bool = True

    def at(self, places: Iterable[int]) -> "_Flow":
        return _Flow([self.columns[place] for place in places], self.in_order)


def known_inputs(estimator: Any) -> list[KnownInput] | None:
    """The columns that a fitted estimator was given, in the order of training; None when it does not know how many."""
    names = getattr(estimator, "feature_names_in_", None)
    count = len(names) if names is not None else getattr(estimator, "n_features_in_", None)
    if count is None:
        return None
    inputs = [KnownInput(None if names is None else str(names[number])) for number in range(count)]
    left = _Walk(inputs).through(estimator, _Flow([(number, True) for number in range(count)]))
    for number, open_end in left.columns:
        inputs[number].used = True
        if open_end:
            inputs[number].ends.append(True)
    return inputs


def takes_text(estimator: Any) -> bool:
    """Whether it takes a list of texts, as a vectorizer does, and not a table; also inside pipelines and unions."""
    if hasattr(estimator, "best_estimator_"):
        return takes_text(estimator.best_estimator_)
    if hasattr(estimator, "steps"):
        return takes_text(estimator[0])
    if hasattr(estimator, "transformer_list"):
        return any(takes_text(inner) for _name, inner in estimator.transformer_list)
    tags = _tags(estimator)
    return tags is not None and bool(tags.input_tags.string) and not tags.input_tags.two_d_array


class _Walk:
    def __init__(self, inputs: list[KnownInput]) -> None:
        self.inputs = inputs

    def through(self, estimator: Any, flow: _Flow) -> _Flow:
        """Note what a step does with the columns that it is given, and tell which go on from it."""
        if estimator is None or estimator == "passthrough":
            return flow
        wrapped = _wrapped(estimator)
        if wrapped is not None:
            return self.through(wrapped, flow)
        branches = list(_branches(estimator, flow))
        if branches:
            flows = [self.through(inner, given) for inner, given in branches]
            return _Flow([column for given in flows for column in given.columns], in_order=False)
        if hasattr(estimator, "steps"):
            for _name, step in estimator.steps:
                flow = self.through(step, flow)
            return flow
        return self.leaf(estimator, flow)

    def leaf(self, estimator: Any, flow: _Flow) -> _Flow:
        for number, _open in flow.columns:
            self.inputs[number].used = True
        if getattr(estimator, "_preprocessor", None) is not None:  # HistGradientBoosting with categorical columns
            return self.through(estimator._preprocessor, flow)  # noqa: SLF001  # it has no public name
        if hasattr(estimator, "categories_"):
            return self.encoder(estimator, flow) if flow.in_order else self.no_telling(flow)
        if hasattr(estimator, "missing_values"):
            return self.imputer(estimator, flow)
        return self.any_other(estimator, flow)

    def encoder(self, estimator: Any, flow: _Flow) -> _Flow:
        going_on = []
        for (number, open_end), categories in zip(flow.columns, estimator.categories_, strict=False):
            known = self.inputs[number]
            present = [value for value in categories.tolist() if not _is_missing(value)]
            known.type = known.type or _type_of(present)
            known.categories = tuple(present)
            has_missing = len(present) < len(categories)
            known.missing_is_none |= any(value is None for value in categories.tolist())
            if has_missing and _is_missing(getattr(estimator, "encoded_missing_value", 0)):
                going_on.append((number, open_end))
            elif open_end:
                lenient = getattr(estimator, "handle_unknown", "ignore") != "error"
                known.ends.append(True if has_missing else None if lenient else False)
        return _Flow(going_on, in_order=False)

    def imputer(self, estimator: Any, flow: _Flow) -> _Flow:
        fills = _is_missing(estimator.missing_values)
        for number, open_end in flow.columns:
            self.inputs[number].missing_is_none |= estimator.missing_values is None
            if open_end and fills:
                self.inputs[number].ends.append(True)
        statistics = getattr(estimator, "statistics_", None)
        whole = statistics is None or not any(_is_missing(value) for value in statistics.tolist())
        return _Flow([(number, left and not fills) for number, left in flow.columns], flow.in_order and whole)

    def any_other(self, estimator: Any, flow: _Flow) -> _Flow:
        tags = _tags(estimator)
        if tags is None:
            return self.no_telling(flow)
        self.type_by(tags.input_tags, flow, checks=not tags.no_validation)
        passes = tags.input_tags.allow_nan or tags.no_validation
        if not passes:
            for number, open_end in flow.columns:
                if open_end:
                    self.inputs[number].ends.append(False)
        return _Flow([(number, left and passes) for number, left in flow.columns], flow.in_order and _keeps(estimator))

    def type_by(self, tags: Any, flow: _Flow, *, checks: bool) -> None:
        """Note what an estimator says that it takes: texts, or numbers alone."""
        if tags.string and not tags.two_d_array:
            for number, _open in flow.columns:
                self.inputs[number].type = "string"
        elif flow.in_order and checks and not (tags.string or tags.categorical):
            for number, _open in flow.columns:
                self.inputs[number].numeric = True

    def no_telling(self, flow: _Flow) -> _Flow:
        for number, open_end in flow.columns:
            if open_end:
                self.inputs[number].ends.append(None)
        return _Flow([(number, False) for number, _left in flow.columns], in_order=False)


def _wrapped(estimator: Any) -> Any | None:
    """The one fitted estimator that an estimator hands its columns to as they are."""
    if type(estimator).__module__.startswith(_WRAPPERS):
        return getattr(estimator, "best_estimator_", None) or getattr(estimator, "estimator_", None)
    return getattr(estimator, "regressor_", None)


def _branches(estimator: Any, flow: _Flow) -> Iterator[tuple[Any, _Flow]]:
    """Estimators inside one that are each given some of its columns, side by side."""
    if hasattr(estimator, "transformers_"):
        if flow.in_order:
            for name, transformer, _columns in estimator.transformers_:
                # Public attributes hold what the user wrote: names, slices, masks; this one holds numbers.
                places = estimator._transformer_to_input_indices[name]  # noqa: SLF001
                if not isinstance(transformer, str) or transformer != "drop":
                    yield transformer, flow.at(places)
    elif hasattr(estimator, "transformer_list"):
        yield from ((transformer, flow) for _name, transformer in estimator.transformer_list if transformer != "drop")
    elif type(estimator).__module__.startswith(_ENSEMBLES):
        yield from ((inner, flow) for inner in estimator.estimators_)
    elif hasattr(estimator, "calibrated_classifiers_"):
        yield from ((inner.estimator, flow) for inner in estimator.calibrated_classifiers_[:1])


def _keeps(estimator: Any) -> bool:
    """Whether each column stays in its place."""
    from sklearn.base import OneToOneFeatureMixin

    return isinstance(estimator, OneToOneFeatureMixin)


def _tags(estimator: Any) -> Any | None:
    from sklearn.utils import get_tags

    try:
        return get_tags(estimator)
    except (AttributeError, TypeError):  # not one of scikit-learn's
        return None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _type_of(values: list[Any]) -> FeatureType | None:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return "string"
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "integer"
    return "number" if kinds and kinds <= {int, float} else None
