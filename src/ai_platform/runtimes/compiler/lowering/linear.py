"""Linear models, discriminants, naive Bayes and networks: sums of products, and what is made of them."""

from functools import cached_property
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.graph import Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import (
    Predictor,
    finite_input,
    largest,
    of_two,
    positive,
    predicts,
)


class _Sums(Predictor):
    """`x @ weights + bias`."""

    @cached_property
    def sums(self) -> Tensor:
        """One column an output, or one of two classes."""
        weights = np.atleast_2d(self.estimator.coef_)
        made = self.graph.product(finite_input(self), weights.T)
        bias = np.ravel(getattr(self.estimator, "intercept_", 0.0))
        return self.graph.with_row("Add", made, bias) if bias.any() else made


@predicts(
    *(f"sklearn:{name}" for name in (
        "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "Lars", "LarsCV",
        "LassoLars", "LassoLarsCV", "LassoLarsIC", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV",
        "BayesianRidge", "ARDRegression", "HuberRegressor", "TheilSenRegressor", "SGDRegressor", "LinearSVR",
        "QuantileRegressor", "MultiTaskLasso", "MultiTaskElasticNet", "PassiveAggressiveRegressor",
    ))
)  # fmt: skip
class _LinearNumbers(_Sums):
    @property
    def numbers(self) -> Tensor:
        return self.sums


@predicts("sklearn:PoissonRegressor", "sklearn:GammaRegressor", "sklearn:TweedieRegressor")
class _Generalized(_Sums):
    @cached_property
    def numbers(self) -> Tensor:
        link = type(self.estimator._base_loss.link).__name__  # noqa: SLF001  # it has no public name
        if link not in {"LogLink", "IdentityLink"}:
            raise Unsupported(f"there is no rule for the link {link}")
        return self.graph.each("Exp", self.sums) if link == "LogLink" else self.sums


class _LinearClasses(_Sums):
    @property
    def decision(self) -> Tensor:
        return self.sums

    @property
    def label(self) -> Tensor:
        return positive(self, self.sums) if self.sums.width == 1 else largest(self, self.sums)


@predicts("sklearn:RidgeClassifier", "sklearn:RidgeClassifierCV", "sklearn:Perceptron", "sklearn:LinearSVC",
          "sklearn:PassiveAggressiveClassifier")  # fmt: skip
class _Unlikely(_LinearClasses):
    pass


@predicts("sklearn:LogisticRegression", "sklearn:LogisticRegressionCV", "sklearn:LinearDiscriminantAnalysis")
class _Logistic(_LinearClasses):
    @cached_property
    def probabilities(self) -> Tensor:
        if self.sums.width == 1:
            return of_two(self, self.graph.each("Sigmoid", self.sums))
        return self.graph.each("Softmax", self.sums, axis=1)

    @property
    def label(self) -> Tensor:
        # As the platform answers for the library: by the probabilities of a logistic regression.
        if type(self.estimator).__name__ == "LogisticRegression":
            return largest(self, self.probabilities)
        return super().label


@predicts("sklearn:SGDClassifier")
class _Descended(_LinearClasses):
    @cached_property
    def probabilities(self) -> Tensor:
        loss = self.estimator.loss
        if loss == "log_loss":
            scores = self.graph.each("Sigmoid", self.sums)
        elif loss == "modified_huber":
            scores = self.graph.with_row(
                "Mul", self.graph.with_row("Add", _between_ones(self, self.sums), [1.0]), [0.5]
            )
        else:
            raise Unsupported(f"SGDClassifier of the loss {loss} has no probabilities")
        return of_two(self, scores) if scores.width == 1 else shares(self, scores)


def _between_ones(predictor: Predictor, scores: Tensor) -> Tensor:
    graph = predictor.graph
    return graph.node("Clip", [scores.name, graph.constant(-1.0), graph.constant(1.0)], scores.width)


def shares(predictor: Predictor, scores: Tensor) -> Tensor:
    """Scores that are not negative, divided by their sum; equal ones where all are zero."""
    graph = predictor.graph
    total = graph.over_columns("ReduceSum", scores)
    is_zero = graph.with_row("Equal", total, [0.0])
    divided = graph.both("Div", scores, graph.where(is_zero, graph.row([1.0]), total.name, 1))
    return graph.where(is_zero, graph.row([1.0 / scores.width]), divided.name, scores.width)


@predicts("sklearn:QuadraticDiscriminantAnalysis")
class _Quadratic(Predictor):
    @cached_property
    def scores(self) -> Tensor:
        """The log posterior of each class, without what all have in common (Hastie et al., 2009, equation 4.12)."""
        graph, model = self.graph, self.estimator
        x = finite_input(self)
        made = []
        for means, rotation, scaling, prior in zip(
            model.means_, model.rotations_, model.scalings_, model.priors_, strict=True
        ):
            turned = graph.product(graph.with_row("Sub", x, means), rotation * scaling ** (-0.5))
            norm = graph.over_columns("ReduceSum", graph.both("Mul", turned, turned))
            halved = graph.with_row("Mul", graph.with_row("Add", norm, [np.log(scaling).sum()]), [-0.5])
            made.append(graph.with_row("Add", halved, [np.log(prior)]))
        return graph.beside(made)

    @cached_property
    def probabilities(self) -> Tensor:
        return self.graph.each("Softmax", self.scores, axis=1)

    @property
    def label(self) -> Tensor:
        return largest(self, self.scores)


class _Bayes(Predictor):
    @property
    def likelihood(self) -> Tensor:
        """The joint log likelihood of each class."""
        raise NotImplementedError

    @cached_property
    def probabilities(self) -> Tensor:
        return self.graph.each("Softmax", self.likelihood, axis=1)

    @property
    def label(self) -> Tensor:
        is_by_probability = type(self.estimator).__name__ == "GaussianNB"  # as the platform answers for the library
        return largest(self, self.probabilities if is_by_probability else self.likelihood)


@predicts("sklearn:GaussianNB")
class _Gaussian(_Bayes):
    @cached_property
    def likelihood(self) -> Tensor:
        graph, model, made = self.graph, self.estimator, []
        x = finite_input(self)
        for means, variances, prior in zip(model.theta_, model.var_, model.class_prior_, strict=True):
            away = graph.with_row("Sub", x, means)
            squares = graph.with_row("Div", graph.both("Mul", away, away), variances)
            constant = -0.5 * np.sum(np.log(2.0 * np.pi * variances))
            halved = graph.with_row("Mul", graph.over_columns("ReduceSum", squares), [0.5])
            whole = graph.node("Sub", [graph.row([constant]), halved.name], 1)
            made.append(graph.with_row("Add", whole, [np.log(prior)]))
        return graph.beside(made)


@predicts("sklearn:BernoulliNB")
class _Bernoulli(_Bayes):
    @cached_property
    def likelihood(self) -> Tensor:
        graph, model = self.graph, self.estimator
        x = finite_input(self)
        if model.binarize is not None:
            x = graph.cast(graph.with_row("Greater", x, [float(model.binarize)]))
        absent = np.log(1 - np.exp(model.feature_log_prob_))
        sums = graph.product(x, (model.feature_log_prob_ - absent).T)
        return graph.with_row("Add", sums, model.class_log_prior_ + absent.sum(axis=1))


@predicts("sklearn:MultinomialNB", "sklearn:ComplementNB")
class _Counted(_Bayes):
    @cached_property
    def likelihood(self) -> Tensor:
        graph, model = self.graph, self.estimator
        sums = graph.product(finite_input(self), model.feature_log_prob_.T)
        is_plain = type(model).__name__ == "MultinomialNB" or len(model.classes_) == 1
        return graph.with_row("Add", sums, model.class_log_prior_) if is_plain else sums


_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "logistic": "Sigmoid"}


class _Network(Predictor):
    @cached_property
    def outputs(self) -> Tensor:
        """What the last layer gives."""
        graph, model = self.graph, self.estimator
        x = finite_input(self)
        layers = list(zip(model.coefs_, model.intercepts_, strict=True))
        for number, (weights, bias) in enumerate(layers):
            x = graph.with_row("Add", graph.product(x, weights), bias)
            x = self._activated(x, model.out_activation_ if number == len(layers) - 1 else model.activation)
        return x

    def _activated(self, x: Tensor, name: str) -> Tensor:
        if name == "identity":
            return x
        if name == "softmax":
            return self.graph.each("Softmax", x, axis=1)
        if name not in _ACTIVATIONS:
            raise Unsupported(f"there is no rule for the activation {name}")
        return self.graph.each(_ACTIVATIONS[name], x)


@predicts("sklearn:MLPRegressor")
class _NetworkNumbers(_Network):
    @property
    def numbers(self) -> Tensor:
        return self.outputs


@predicts("sklearn:MLPClassifier")
class _NetworkClasses(_Network):
    @cached_property
    def probabilities(self) -> Tensor:
        return of_two(self, self.outputs) if self.outputs.width == 1 else self.outputs

    @property
    def label(self) -> Tensor:
        if self.outputs.width > 1:
            return largest(self, self.outputs)
        return self.graph.cast(self.graph.with_row("Greater", self.outputs, [0.5]), "INT64")


@predicts("sklearn:DummyRegressor", "sklearn:DummyClassifier")
class _Constant(Predictor):
    @cached_property
    def numbers(self) -> Tensor:
        return self._always(np.ravel(self.estimator.constant_))

    @cached_property
    def probabilities(self) -> Tensor:
        if self.estimator.strategy != "prior":
            raise Unsupported(f"there is no rule for the strategy {self.estimator.strategy} of DummyClassifier")
        return self._always(self.estimator.class_prior_)

    def _always(self, values: Any) -> Tensor:
        graph = self.graph
        zeros = graph.cast(graph.each("IsNaN", graph.columns(finite_input(self), [0])))
        return graph.with_row("Add", graph.with_row("Mul", zeros, [0.0]), values)
