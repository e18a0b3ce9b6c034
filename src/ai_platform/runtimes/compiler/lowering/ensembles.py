"""Models made of models: votes, stacks, calibration, one against the rest, weighted members."""

from functools import cached_property
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import columns_of
from ai_platform.runtimes.compiler.lowering.graph import Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.linear import shares
from ai_platform.runtimes.compiler.lowering.rules import (
    Predictor,
    largest,
    of_second_class,
    of_two,
    positive,
    predictor_of,
    predicts,
    total,
)
from ai_platform.runtimes.compiler.lowering.scaling import interpolated


def _members(predictor: Predictor) -> list[Predictor]:
    return [
        predictor_of(one, predictor.inputs, predictor.columns)
        for one in predictor.estimator.estimators_
        if not isinstance(one, str)
    ]


class _Voting(Predictor):
    @property
    def weights(self) -> Any:
        """One for each member."""
        given = self.estimator._weights_not_none  # noqa: SLF001  # it has no public name
        return np.ones(len(self.estimator.estimators_)) if given is None else np.asarray(given, np.float64)

    def _average(self, parts: list[Tensor]) -> Tensor:
        whole = total(self, parts, self.weights.tolist())
        return self.graph.with_row("Div", whole, [float(self.weights.sum())])


@predicts("sklearn:VotingRegressor")
class _VotingNumbers(_Voting):
    @cached_property
    def numbers(self) -> Tensor:
        return self._average([one.numbers for one in _members(self)])


@predicts("sklearn:VotingClassifier")
class _VotingClasses(_Voting):
    @cached_property
    def probabilities(self) -> Tensor:
        if self.estimator.voting != "soft":
            raise Unsupported("VotingClassifier that counts votes has no probabilities")
        return self._average([one.probabilities for one in _members(self)])

    @property
    def label(self) -> Tensor:
        if self.estimator.voting == "soft":
            return largest(self, self.probabilities)
        graph = self.graph
        votes = [
            graph.cast(graph.node("Equal", [one.label.name, graph.constant([range(self.classes)], np.int64)],
                                  self.classes))
            for one in _members(self)
        ]  # fmt: skip
        return largest(self, total(self, votes, self.weights.tolist()))


class _Stacked(Predictor):
    @cached_property
    def final(self) -> Predictor:
        """What answers, of the members' answers."""
        model = self.estimator
        parts = [
            self._answer(one, method)
            for one, method in zip(_members(self), model.stack_method_, strict=True)
        ]  # fmt: skip
        columns = columns_of(self.graph.beside(parts))
        if model.passthrough:
            columns += self.columns
        return predictor_of(model.final_estimator_, self.inputs, columns)

    def _answer(self, member: Predictor, method: str) -> Tensor:
        if method == "predict_proba":
            return of_second_class(self, member.probabilities)
        if method == "decision_function":
            return member.decision
        return self.graph.cast(member.label) if hasattr(member.estimator, "classes_") else member.numbers


@predicts("sklearn:StackingRegressor")
class _StackedNumbers(_Stacked):
    @property
    def numbers(self) -> Tensor:
        return self.final.numbers


@predicts("sklearn:StackingClassifier")
class _StackedClasses(_Stacked):
    @property
    def decision(self) -> Tensor:
        return self.final.decision

    @property
    def probabilities(self) -> Tensor:
        return self.final.probabilities

    @property
    def label(self) -> Tensor:
        return self.final.label


@predicts("sklearn:CalibratedClassifierCV")
class _Calibrated(Predictor):
    @cached_property
    def probabilities(self) -> Tensor:
        parts = [self._of(one) for one in self.estimator.calibrated_classifiers_]
        return self.graph.with_row("Div", total(self, parts), [float(len(parts))])

    def _of(self, calibrated: Any) -> Tensor:
        graph = self.graph
        if calibrated.method not in {"sigmoid", "isotonic"}:
            raise Unsupported(f"there is no rule for the calibration {calibrated.method}")
        if len(calibrated.estimator.classes_) != self.classes:
            raise Unsupported("a calibrated member has not seen all classes")
        member = predictor_of(calibrated.estimator, self.inputs, self.columns)
        scores = self._scores(member)
        columns = [
            self._calibrated(one, graph.columns(scores, [place])) for place, one in enumerate(calibrated.calibrators)
        ]
        if self.classes == 2:  # noqa: PLR2004
            return of_two(self, columns[0])
        return shares(self, graph.beside(columns))

    def _scores(self, member: Predictor) -> Tensor:
        if hasattr(member.estimator, "decision_function"):
            return member.decision
        return of_second_class(self, member.probabilities)

    def _calibrated(self, calibrator: Any, scores: Tensor) -> Tensor:
        graph = self.graph
        if hasattr(calibrator, "X_thresholds_"):
            return interpolated(graph, scores, calibrator.X_thresholds_, calibrator.y_thresholds_)
        raised = graph.with_row("Add", graph.with_row("Mul", scores, [calibrator.a_]), [calibrator.b_])
        return graph.each("Sigmoid", graph.each("Neg", raised))


@predicts("sklearn:AdaBoostClassifier")
class _Weighted(Predictor):
    @cached_property
    def votes(self) -> Tensor:
        """The weighted votes for each class, between -1 and 1."""
        graph, model, count = self.graph, self.estimator, self.classes
        places = {value: place for place, value in enumerate(model.classes_.tolist())}
        weights = model.estimator_weights_[: len(model.estimators_)]
        parts = []
        for one, weight in zip(_members(self), weights, strict=True):
            own = [places[value] for value in one.estimator.classes_.tolist()]
            label = graph.node("Gather", [graph.constant(own, np.int64), one.label.name], 1, axis=0)
            chosen = graph.node("Equal", [label.name, graph.constant([range(count)], np.int64)], count)
            parts.append(graph.where(chosen, graph.row([weight]), graph.row([-1 / (count - 1) * weight]), count))
        return graph.with_row("Div", total(self, parts), [float(model.estimator_weights_.sum())])

    @cached_property
    def decision(self) -> Tensor:
        if self.classes != 2:  # noqa: PLR2004
            return self.votes
        signed = self.graph.with_row("Mul", self.votes, [-1.0, 1.0])
        return self.graph.over_columns("ReduceSum", signed)

    @cached_property
    def probabilities(self) -> Tensor:
        graph = self.graph
        if self.classes == 2:  # noqa: PLR2004
            both = graph.with_row("Mul", graph.columns(self.decision, [0, 0]), [-0.5, 0.5])
            return graph.each("Softmax", both, axis=1)
        return graph.each("Softmax", graph.with_row("Div", self.votes, [self.classes - 1.0]), axis=1)

    @property
    def label(self) -> Tensor:
        return positive(self, self.decision) if self.classes == 2 else largest(self, self.votes)  # noqa: PLR2004


@predicts("sklearn:OneVsRestClassifier")
class _AgainstRest(Predictor):
    @cached_property
    def probabilities(self) -> Tensor:
        self._require_one_label()
        graph = self.graph
        parts = graph.beside([graph.columns(one.probabilities, [1]) for one in _members(self)])
        if parts.width == 1:
            return of_two(self, parts)
        whole = graph.over_columns("ReduceSum", parts)
        is_zero = graph.with_row("Equal", whole, [0.0])
        return graph.both("Div", parts, graph.where(is_zero, graph.row([1.0]), whole.name, 1))

    @cached_property
    def decision(self) -> Tensor:
        self._require_one_label()
        return self.graph.beside([one.decision for one in _members(self)])

    @property
    def label(self) -> Tensor:
        members = _members(self)
        has_decision = all(hasattr(one.estimator, "decision_function") for one in members)
        if len(members) == 1:
            return members[0].label
        if has_decision:
            return largest(self, self.decision)
        self._require_one_label()
        return largest(self, self.graph.beside([self.graph.columns(one.probabilities, [1]) for one in members]))

    def _require_one_label(self) -> None:
        if self.estimator.multilabel_ or any(type(one).__name__ == "_ConstantPredictor" for one in
                                             self.estimator.estimators_):  # fmt: skip
            raise Unsupported("there is no rule for several labels of OneVsRestClassifier")


@predicts("sklearn:TunedThresholdClassifierCV", "sklearn:FixedThresholdClassifier")
class _Threshold(Predictor):
    @cached_property
    def inner(self) -> Predictor:
        """What gives the scores."""
        return predictor_of(self.estimator.estimator_, self.inputs, self.columns)

    @property
    def probabilities(self) -> Tensor:
        return self.inner.probabilities

    @cached_property
    def label(self) -> Tensor:
        graph, model = self.graph, self.estimator
        positive_place, threshold = self._positive(), self._threshold()
        if self._uses_probabilities():
            scores = graph.columns(self.inner.probabilities, [positive_place])
        else:
            scores = self.inner.decision if positive_place else graph.each("Neg", self.inner.decision)
        if len(model.classes_) != 2 or scores.width != 1:  # noqa: PLR2004
            raise Unsupported("a threshold between more than two classes")
        reaches = graph.with_row("GreaterOrEqual", scores, [threshold])
        yes, no = (graph.constant([[place]], np.int64) for place in (positive_place, 1 - positive_place))
        return graph.where(reaches, yes, no, 1)

    def _positive(self) -> int:
        """The place of the class that is chosen where the threshold is reached."""
        model = self.estimator
        scorer = getattr(model, "_curve_scorer", None)
        label = model.pos_label if scorer is None else scorer._get_pos_label()  # noqa: SLF001
        return 1 if label is None else model.classes_.tolist().index(label)

    def _threshold(self) -> float:
        found = getattr(self.estimator, "best_threshold_", None)
        if found is None:
            found = self.estimator.threshold
        if found == "auto":
            return 0.5 if self._uses_probabilities() else 0.0
        return float(found)

    def _uses_probabilities(self) -> bool:
        methods = self.estimator._get_response_method()  # noqa: SLF001  # it has no public name
        names = [methods] if isinstance(methods, str) else methods
        return next(name for name in names if hasattr(self.estimator.estimator_, name)) == "predict_proba"
