"""The rules of lowering, found by the class of a step; each kind of step registers its own."""

from collections.abc import Callable, Sequence
from typing import Any

from ai_platform.runtimes.compiler.lowering.columns import Columns, Inputs, tensor_of
from ai_platform.runtimes.compiler.lowering.graph import Tensor, Unsupported

Transform = Callable[[Any, Inputs, Columns], Columns]


class Predictor:
    """What a fitted estimator answers, written into the graph when it is asked for.

    A rule defines those of these that its estimator has: `numbers` of a regressor, shape (rows, outputs); `decision`,
    shape (rows, classes), or (rows, 1) of two classes; `probabilities`, shape (rows, classes); and `label`, the place
    of the class, whole numbers of shape (rows, 1).

    Args:
        estimator: fitted.
        inputs: of the graph.
        columns: that the estimator is given.
    """

    def __init__(self, estimator: Any, inputs: Inputs, columns: Columns) -> None:
        self.estimator, self.inputs, self.columns = estimator, inputs, columns
        self.graph = inputs.graph
        self.is_sparse = inputs.is_sparse

    @property
    def classes(self) -> int:
        """How many classes it has."""
        return len(self.estimator.classes_)

    @property
    def numbers(self) -> Tensor:
        """What a regressor predicts."""
        raise self._lacks("numbers")

    @property
    def decision(self) -> Tensor:
        """The decision function of a classifier."""
        raise self._lacks("decision function")

    @property
    def probabilities(self) -> Tensor:
        """The probabilities of a classifier."""
        raise self._lacks("probabilities")

    @property
    def label(self) -> Tensor:
        """The class, by its place: the most probable one, where a rule says nothing else."""
        return largest(self, self.probabilities)

    def _lacks(self, what: str) -> Unsupported:
        return Unsupported(f"there is no rule for the {what} of {type(self.estimator).__name__}")


def finite_input(predictor: Predictor) -> Tensor:
    """What a predictor is given that refuses numbers which are none or infinite, as nearly all of the library do."""
    x = tensor_of(predictor.inputs, predictor.columns)
    if predictor.graph.may_be_infinite:
        predictor.graph.require_finite(x)
    return x


def largest(predictor: Predictor, scores: Tensor) -> Tensor:
    """The first place of the largest score, as `numpy.argmax` has it."""
    return predictor.graph.node("ArgMax", [scores.name], 1, axis=1, keepdims=1)


def positive(predictor: Predictor, scores: Tensor, *, or_zero: bool = False) -> Tensor:
    """1 where the one score is above zero, else 0."""
    graph = predictor.graph
    operator = "GreaterOrEqual" if or_zero else "Greater"
    return graph.cast(graph.with_row(operator, scores, [0.0]), "INT64")


def of_two(predictor: Predictor, probability: Tensor) -> Tensor:
    """Both probabilities, of that of the second class: shape (rows, 2)."""
    graph = predictor.graph
    first = graph.node("Sub", [graph.row([1.0]), probability.name], 1)
    return graph.beside([first, probability])


def total(predictor: Predictor, parts: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Parts, times their weights if there are any, added up from the first on.

    Raises:
        Unsupported: there are none.
    """
    graph = predictor.graph
    found: Tensor | None = None
    for part, weight in zip(parts, weights or [1.0] * len(parts), strict=True):
        weighted = part if weight == 1 else graph.with_row("Mul", part, [float(weight)])
        found = weighted if found is None else graph.both("Add", found, weighted)
    if found is None:
        raise Unsupported("a model of no members")
    return found


def of_second_class(predictor: Predictor, probabilities: Tensor) -> Tensor:
    """Of two classes the probability of the second alone, which tells both; of more classes all."""
    return predictor.graph.columns(probabilities, [1]) if probabilities.width == 2 else probabilities  # noqa: PLR2004


_TRANSFORMS: dict[str, Transform] = {}
_PREDICTORS: dict[str, type[Predictor]] = {}


def transforms(*names: str) -> Callable[[Transform], Transform]:
    """Register a function as the rule of transformers, named as `module:Class` with the first part of the module."""

    def register(rule: Transform) -> Transform:
        _TRANSFORMS.update(dict.fromkeys(names, rule))
        return rule

    return register


def predicts(*names: str) -> Callable[[type[Predictor]], type[Predictor]]:
    """Register a class as the rule of predictors."""

    def register(rule: type[Predictor]) -> type[Predictor]:
        _PREDICTORS.update(dict.fromkeys(names, rule))
        return rule

    return register


def transformed(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    """The columns that a fitted transformer makes.

    Raises:
        Unsupported: it has no rule.
    """
    rule: Transform = _rule(_TRANSFORMS, step)
    return rule(step, inputs, columns)


def predictor_of(estimator: Any, inputs: Inputs, columns: Columns) -> Predictor:
    """What a fitted predictor answers.

    Raises:
        Unsupported: it has no rule.
    """
    rule: type[Predictor] = _rule(_PREDICTORS, estimator)
    return rule(estimator, inputs, columns)


def _rule(rules: dict[str, Any], step: Any) -> Any:
    kind = type(step)
    found = rules.get(f"{kind.__module__.partition('.')[0]}:{kind.__name__}")
    if found is None:
        raise Unsupported(f"there is no rule for {kind.__name__}")
    return found
