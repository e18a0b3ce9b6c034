"""Trees, forests and gradient boosting of scikit-learn, summed up in the order in which the library does."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import Columns, Inputs, tensor_of
from ai_platform.runtimes.compiler.lowering.graph import Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import (
    Predictor,
    largest,
    of_two,
    positive,
    predictor_of,
    predicts,
    total,
    transformed,
)
from ai_platform.runtimes.compiler.lowering.trees import AT_MOST, MEMBER, Tree, leaf, of_sklearn, summed

_BITS = 32


def _asked(inputs: Inputs, columns: Columns, *, allows_nan: bool = True) -> Tensor:
    """What scikit-learn's trees compare: each number rounded to float32 (`sklearn.tree` has `DTYPE = float32`).

    A number that float32 does not have is refused.
    """
    graph = inputs.graph
    asked = graph.cast(graph.cast(tensor_of(inputs, columns), "FLOAT"), "DOUBLE")
    graph.require_finite(asked, allows_nan=allows_nan)
    return asked


class _Averaged(Predictor):
    """The mean of trees, in each output or class."""

    @cached_property
    def means(self) -> Tensor:
        """One column an output or class."""
        model = self.estimator
        if getattr(model, "n_outputs_", 1) > 1 and hasattr(model, "classes_"):
            raise Unsupported("a forest of several outputs answers with several classes")
        trees = [one.tree_ for one in model.estimators_] if hasattr(model, "estimators_") else [model.tree_]
        width = trees[0].value.shape[2] if hasattr(model, "classes_") else trees[0].value.shape[1]
        first = [of_sklearn(tree, self._values(tree, 0)) for tree in trees]
        others = [
            [replace(one, value=self._values(tree, place)) for one, tree in zip(first, trees, strict=True)]
            for place in range(1, width)
        ]
        targets = [first, *others]
        made = summed(self.graph, _asked(self.inputs, self.columns), targets)
        return self.graph.with_row("Div", made, [float(len(trees))]) if len(trees) > 1 else made

    def _values(self, tree: Any, place: int) -> Any:
        chosen = tree.value[:, 0, place] if hasattr(self.estimator, "classes_") else tree.value[:, place, 0]
        return np.asarray(chosen, np.float64)


@predicts("sklearn:DecisionTreeRegressor", "sklearn:ExtraTreeRegressor", "sklearn:RandomForestRegressor",
          "sklearn:ExtraTreesRegressor")  # fmt: skip
class _TreeNumbers(_Averaged):
    @property
    def numbers(self) -> Tensor:
        return self.means


@predicts("sklearn:DecisionTreeClassifier", "sklearn:ExtraTreeClassifier", "sklearn:RandomForestClassifier",
          "sklearn:ExtraTreesClassifier")  # fmt: skip
class _TreeClasses(_Averaged):
    @property
    def probabilities(self) -> Tensor:
        return self.means


class _Boosted(Predictor):
    """A start, and trees of which each adds its part."""

    @property
    def raw(self) -> Tensor:
        """The raw predictions, one column a class, or one of two classes or of a number."""
        raise NotImplementedError

    @property
    def link(self) -> str:
        """What makes predictions of them."""
        return type(self.estimator._loss.link).__name__  # noqa: SLF001  # it has no public name

    @cached_property
    def numbers(self) -> Tensor:
        if self.link == "LogLink":
            return self.graph.each("Exp", self.raw)
        if self.link != "IdentityLink":
            raise Unsupported(f"there is no rule for the link {self.link}")
        return self.raw

    @property
    def decision(self) -> Tensor:
        return self.raw

    @cached_property
    def probabilities(self) -> Tensor:
        if self.raw.width > 1:
            return self.graph.each("Softmax", self.raw, axis=1)
        if self.link not in {"LogitLink", "HalfLogitLink"}:
            raise Unsupported(f"there is no rule for the link {self.link}")
        raw = self.raw if self.link == "LogitLink" else self.graph.with_row("Mul", self.raw, [2.0])
        return of_two(self, self.graph.each("Sigmoid", raw))


@predicts("sklearn:GradientBoostingClassifier", "sklearn:GradientBoostingRegressor")
class _Gradient(_Boosted):
    @cached_property
    def raw(self) -> Tensor:
        model = self.estimator
        start = self._start()
        targets = [
            [leaf(start[place]), *(of_sklearn(tree, model.learning_rate * tree.value[:, 0, 0]) for tree in trees)]
            for place, trees in enumerate([[one.tree_ for one in column] for column in model.estimators_.T])
        ]
        return summed(self.graph, _asked(self.inputs, self.columns, allows_nan=False), targets)

    def _start(self) -> Any:
        """Raw predictions before the first tree, which are the same for all rows."""
        from sklearn.dummy import DummyClassifier, DummyRegressor

        model = self.estimator
        if isinstance(model.init_, str) and model.init_ == "zero":
            return np.zeros(model.n_trees_per_iteration_)
        if not isinstance(model.init_, DummyClassifier | DummyRegressor):
            raise Unsupported("gradient boosting begins with another model")
        raw = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))  # noqa: SLF001
        return np.asarray(raw, np.float64)[0]

    @property
    def label(self) -> Tensor:
        return largest(self, self.raw) if self.raw.width > 1 else positive(self, self.raw, or_zero=True)


@predicts("sklearn:HistGradientBoostingClassifier", "sklearn:HistGradientBoostingRegressor")
class _Histogram(_Boosted):
    @cached_property
    def raw(self) -> Tensor:
        model, columns = self.estimator, self.columns
        if model._preprocessor is not None:  # noqa: SLF001  # it has no public name
            columns = transformed(model._preprocessor, self.inputs, columns)  # noqa: SLF001
        start = np.ravel(model._baseline_prediction).tolist()  # noqa: SLF001
        trees = histogram_trees(model)
        targets = [[leaf(start[place]), *trees[place :: len(start)]] for place in range(len(start))]
        return summed(self.graph, tensor_of(self.inputs, columns), targets)

    @property
    def label(self) -> Tensor:
        # As the platform answers for the library: by the probabilities.
        return largest(self, self.probabilities)


def histogram_trees(model: Any) -> list[Tree]:
    """All trees of histogram boosting, those of one round after another.

    Raises:
        Unsupported: a node asks for no category.
    """
    bitsets, places = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001
    known = {int(feature): _members(bitsets[row]) for feature, row in enumerate(places) if len(bitsets)}
    return [_of_histogram(one, known) for round_ in model._predictors for one in round_]  # noqa: SLF001


def _of_histogram(predictor: Any, known: dict[int, Any]) -> Tree:
    nodes = predictor.nodes
    is_categorical = nodes["is_categorical"].astype(bool) & ~nodes["is_leaf"].astype(bool)
    missing_left = nodes["missing_go_to_left"].astype(bool)
    sets = {}
    yes, no, missing_yes = nodes["left"].copy(), nodes["right"].copy(), missing_left.copy()
    for place in np.flatnonzero(is_categorical).tolist():
        left = _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][place]])
        if missing_left[place]:
            # Unknown categories go the way of missing ones: left, so that what is known and goes right is asked for.
            sets[place] = np.setdiff1d(known[int(nodes["feature_idx"][place])], left)
            yes[place], no[place], missing_yes[place] = no[place], yes[place], False
        else:
            sets[place] = left
        if not len(sets[place]):
            raise Unsupported("a node of histogram boosting asks for no category")
    return Tree(
        np.where(nodes["is_leaf"], -1, nodes["feature_idx"]),
        np.where(is_categorical, 0.0, nodes["num_threshold"]),
        yes, no, missing_yes, nodes["value"], np.where(is_categorical, MEMBER, AT_MOST), sets,
    )  # fmt: skip


def _members(bitset: Any) -> Any:
    """Numbers of the bits that are set, of words of 32 bits."""
    return np.array(
        [word * _BITS + bit for word, bits in enumerate(bitset.tolist()) for bit in range(_BITS) if bits >> bit & 1],
        dtype=np.float64,
    )


@predicts("sklearn:BaggingRegressor", "sklearn:BaggingClassifier")
class _Bagged(Predictor):
    def _members(self) -> list[Predictor]:
        return [
            predictor_of(one, self.inputs, [self.columns[place] for place in places])
            for one, places in zip(self.estimator.estimators_, self.estimator.estimators_features_, strict=True)
        ]

    @cached_property
    def numbers(self) -> Tensor:
        return self._mean([one.numbers for one in self._members()])

    @cached_property
    def probabilities(self) -> Tensor:
        members = self._members()
        if any(len(one.estimator.classes_) != self.classes for one in members):
            raise Unsupported("a member of BaggingClassifier has not seen all classes")
        if not all(hasattr(one.estimator, "predict_proba") for one in members):
            raise Unsupported("members of BaggingClassifier vote")
        return self._mean([one.probabilities for one in members])

    def _mean(self, parts: list[Tensor]) -> Tensor:
        return self.graph.with_row("Div", total(self, parts), [float(len(parts))])
