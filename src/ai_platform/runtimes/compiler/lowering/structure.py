"""Steps that hold others: pipelines, column transformers, unions, searches, selectors, transformed targets."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import Columns, Inputs, columns_of, tensor_of
from ai_platform.runtimes.compiler.lowering.functions import inverse_function
from ai_platform.runtimes.compiler.lowering.graph import Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import (
    Predictor,
    predictor_of,
    predicts,
    transformed,
    transforms,
)


@transforms("sklearn:Pipeline", "imblearn:Pipeline")
def _steps(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    for _name, inner in step.steps:
        columns = _through(inner, inputs, columns)
    return columns


@transforms("sklearn:ColumnTransformer")
def _side_by_side(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    made: Columns = []
    for name, inner, _chosen in step.transformers_:
        # Public attributes hold what the user wrote: names, slices, masks; this one holds numbers.
        given = [columns[place] for place in step._transformer_to_input_indices[name]]  # noqa: SLF001
        if (isinstance(inner, str) and inner == "drop") or not given:
            continue
        found = _through(inner, inputs, given)
        weight = (step.transformer_weights or {}).get(name)
        made += found if weight is None else _weighted(inputs, found, weight)
    return made


@transforms("sklearn:FeatureUnion")
def _union(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    made: Columns = []
    for name, inner in step.transformer_list:
        if not (isinstance(inner, str) and inner == "drop"):
            found = _through(inner, inputs, columns)
            weight = (step.transformer_weights or {}).get(name)
            made += found if weight is None else _weighted(inputs, found, weight)
    return made


def _weighted(inputs: Inputs, columns: Columns, weight: float) -> Columns:
    return columns_of(inputs.graph.with_row("Mul", tensor_of(inputs, columns), [weight]))


def _through(inner: Any, inputs: Inputs, columns: Columns) -> Columns:
    if inner is None or (isinstance(inner, str) and inner == "passthrough"):
        return columns
    if hasattr(inner, "get_support"):
        return [columns[place] for place in np.flatnonzero(inner.get_support())]
    if not hasattr(inner, "transform") and hasattr(inner, "fit_resample"):
        return columns  # a sampler has a part in training alone
    return transformed(inner, inputs, columns)


# What gives a sparse matrix of a sparse one.
_KEEPS_SPARSE = frozenset({
    "StandardScaler", "MaxAbsScaler", "RobustScaler", "Normalizer", "SimpleImputer", "Binarizer", "PolynomialFeatures",
    "FunctionTransformer", "TfidfTransformer",
})  # fmt: skip
_SAYS_SPARSE: dict[str, Callable[[Any], bool]] = {
    "ColumnTransformer": lambda step: step.sparse_output_,
    "OneHotEncoder": lambda step: step.sparse_output,
    "KBinsDiscretizer": lambda step: step.encode == "onehot",
    **dict.fromkeys(("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"), lambda _step: True),
}


def is_sparse_after(step: Any, *, before: bool) -> bool:
    """Whether a fitted transformer gives a sparse matrix.

    Args:
        step: the transformer.
        before: whether it is given one.
    """
    if hasattr(step, "steps"):
        for _name, inner in step.steps:
            before = is_sparse_after(inner, before=before)
        return before
    if hasattr(step, "transformer_list"):
        return any(is_sparse_after(inner, before=before) for _name, inner in step.transformer_list)
    told = _SAYS_SPARSE.get(type(step).__name__)
    if told is not None:
        return bool(told(step))
    keeps = step is None or isinstance(step, str) or hasattr(step, "get_support")
    return before and (keeps or type(step).__name__ in _KEEPS_SPARSE)


class _Inner(Predictor):
    """Answers as another predictor does."""

    @cached_property
    def inner(self) -> Predictor:
        """That other one."""
        return predictor_of(self.estimator, self.inputs, self.columns)

    @property
    def numbers(self) -> Tensor:
        """What it predicts."""
        return self.inner.numbers

    @property
    def decision(self) -> Tensor:
        """Its decision function."""
        return self.inner.decision

    @property
    def probabilities(self) -> Tensor:
        """Its probabilities."""
        return self.inner.probabilities

    @property
    def label(self) -> Tensor:
        """Its label."""
        return self.inner.label


@predicts("sklearn:Pipeline", "imblearn:Pipeline")
class _Pipeline(_Inner):
    @cached_property
    def inner(self) -> Predictor:
        columns, was_sparse = self.columns, self.is_sparse
        is_sparse = was_sparse
        for _name, step in self.estimator.steps[:-1]:
            columns = _through(step, self.inputs, columns)
            is_sparse = is_sparse_after(step, before=is_sparse)
        self.inputs.is_sparse = is_sparse
        try:
            return predictor_of(self.estimator.steps[-1][1], self.inputs, columns)
        finally:
            self.inputs.is_sparse = was_sparse


@predicts("sklearn:GridSearchCV", "sklearn:RandomizedSearchCV", "sklearn:HalvingGridSearchCV",
          "sklearn:HalvingRandomSearchCV")  # fmt: skip
class _Search(_Inner):
    @cached_property
    def inner(self) -> Predictor:
        return predictor_of(self.estimator.best_estimator_, self.inputs, self.columns)


@predicts("sklearn:FrozenEstimator")
class _Frozen(_Inner):
    @cached_property
    def inner(self) -> Predictor:
        return predictor_of(self.estimator.estimator, self.inputs, self.columns)


@predicts("sklearn:TransformedTargetRegressor")
class _TransformedTarget(Predictor):
    @cached_property
    def numbers(self) -> Tensor:
        inner = predictor_of(self.estimator.regressor_, self.inputs, self.columns).numbers
        return inverse_function(self.graph, self.estimator.transformer_, inner)


@predicts("sklearn:MultiOutputRegressor", "sklearn:RegressorChain")
class _SeveralOutputs(Predictor):
    @cached_property
    def numbers(self) -> Tensor:
        if type(self.estimator).__name__ == "RegressorChain":
            raise Unsupported("there is no rule for RegressorChain")
        return self.graph.beside([
            predictor_of(one, self.inputs, self.columns).numbers for one in self.estimator.estimators_
        ])  # fmt: skip
