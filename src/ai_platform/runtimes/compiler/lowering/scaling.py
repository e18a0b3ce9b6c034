"""Numeric steps: scalers, power transforms, bins, polynomials and projections, as their library computes them."""

from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import Columns, Inputs, columns_of, tensor_of
from ai_platform.runtimes.compiler.lowering.functions import expm1, log1p
from ai_platform.runtimes.compiler.lowering.graph import Graph, Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import transforms


@transforms("sklearn:StandardScaler")
def _standard(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    return columns_of(_centred(inputs.graph, tensor_of(inputs, columns), step))


def _centred(graph: Graph, x: Tensor, step: Any) -> Tensor:
    x = graph.with_row("Sub", x, step.mean_) if step.with_mean else x
    return graph.with_row("Div", x, step.scale_) if step.with_std else x


@transforms("sklearn:RobustScaler")
def _robust(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    graph, x = inputs.graph, tensor_of(inputs, columns)
    x = graph.with_row("Sub", x, step.center_) if step.with_centering else x
    return columns_of(graph.with_row("Div", x, step.scale_) if step.with_scaling else x)


@transforms("sklearn:MinMaxScaler")
def _min_max(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    graph = inputs.graph
    x = graph.with_row("Add", graph.with_row("Mul", tensor_of(inputs, columns), step.scale_), step.min_)
    return columns_of(_clipped(graph, x, *step.feature_range) if step.clip else x)


@transforms("sklearn:MaxAbsScaler")
def _max_abs(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    graph = inputs.graph
    x = graph.with_row("Div", tensor_of(inputs, columns), step.scale_)
    return columns_of(_clipped(graph, x, -1.0, 1.0) if getattr(step, "clip", False) else x)


def _clipped(graph: Graph, x: Tensor, low: float, high: float) -> Tensor:
    """Between two numbers; NaN stays, as with `numpy.clip`."""
    held = graph.where(graph.with_row("Less", x, [low]), graph.row([low]), x.name, x.width)
    return graph.where(graph.with_row("Greater", held, [high]), graph.row([high]), held.name, x.width)


@transforms("sklearn:Normalizer")
def _normalized(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    return columns_of(normalized(inputs.graph, tensor_of(inputs, columns), step.norm))


def normalized(graph: Graph, x: Tensor, norm: str) -> Tensor:
    """Rows divided by their length; rows of zeros stay.

    Args:
        graph: that is being written.
        x: the rows.
        norm: `l1`, `l2` or `max`.
    """
    if norm == "max":
        size = graph.over_columns("ReduceMax", graph.each("Abs", x))
    else:
        size = graph.over_columns("ReduceL1" if norm == "l1" else "ReduceL2", x)
    is_zero = graph.with_row("Equal", size, [0.0])
    return graph.both("Div", x, graph.where(is_zero, graph.row([1.0]), size.name, 1))


@transforms("sklearn:Binarizer")
def _binarized(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    graph = inputs.graph
    return columns_of(graph.cast(graph.with_row("Greater", tensor_of(inputs, columns), [float(step.threshold)])))


@transforms("sklearn:PowerTransformer")
def _power(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    if step.method != "yeo-johnson":
        raise Unsupported(f"there is no rule for the method {step.method} of PowerTransformer")
    graph, x = inputs.graph, tensor_of(inputs, columns)
    graph.may_be_infinite = True
    made = graph.beside([
        _yeo_johnson(graph, graph.columns(x, [place]), float(exponent)) for place, exponent in enumerate(step.lambdas_)
    ])  # fmt: skip
    return columns_of(_centred(graph, made, step._scaler) if step.standardize else made)  # noqa: SLF001


def _yeo_johnson(graph: Graph, x: Tensor, exponent: float) -> Tensor:
    """Yeo and Johnson, "A new family of power transformations", Biometrika 87 (2000), page 956."""
    is_negative = graph.with_row("Less", x, [0.0])
    above = _box_cox_of_one_more(graph, graph.each("Abs", x), exponent)
    below = graph.each("Neg", _box_cox_of_one_more(graph, graph.each("Abs", x), 2.0 - exponent))
    return graph.where(is_negative, below.name, above.name, 1)


def _box_cox_of_one_more(graph: Graph, x: Tensor, exponent: float) -> Tensor:
    logarithm = log1p(graph, x)
    if abs(exponent) < np.spacing(1.0):
        return logarithm
    raised = expm1(graph, graph.with_row("Mul", logarithm, [exponent]))
    return graph.with_row("Div", raised, [exponent])


@transforms("sklearn:KBinsDiscretizer")
def _bins(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    graph, x = inputs.graph, tensor_of(inputs, columns)
    inner = [edges[1:-1] for edges in step.bin_edges_]
    bins = graph.beside([_bin_of(graph, graph.columns(x, [place]), edges) for place, edges in enumerate(inner)])
    if step.encode == "ordinal":
        return columns_of(bins)
    sources = [place for place, edges in enumerate(inner) for _ in range(len(edges) + 1)]
    numbers = [number for edges in inner for number in range(len(edges) + 1)]
    return columns_of(graph.cast(graph.with_row("Equal", graph.columns(bins, sources), numbers)))


def _bin_of(graph: Graph, x: Tensor, edges: Any) -> Tensor:
    """How many edges a number has reached."""
    if not len(edges):
        return graph.with_row("Mul", x, [0.0])
    reached = graph.cast(graph.node("GreaterOrEqual", [x.name, graph.row(edges)], len(edges)))
    return graph.over_columns("ReduceSum", reached)


@transforms("sklearn:PolynomialFeatures")
def _polynomials(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    """Products of the columns that each power names, multiplied from the first on."""
    graph, x = inputs.graph, tensor_of(inputs, columns)
    graph.may_be_infinite = True
    factors = [[place for place, times in enumerate(row) for _ in range(times)] for row in step.powers_.tolist()]
    one = x.width  # a column of ones behind the others
    ones = graph.node("Add", [graph.over_columns("ReduceMax", graph.with_row("Mul", x, [0.0])).name,
                              graph.row([1.0])], 1)  # fmt: skip
    padded = graph.beside([x, ones])
    degree = max(map(len, factors))
    product = None
    for number in range(degree):
        chosen = graph.columns(padded, [row[number] if number < len(row) else one for row in factors])
        product = chosen if product is None else graph.both("Mul", product, chosen)
    if product is None:
        raise Unsupported("PolynomialFeatures of degree 0")
    return columns_of(product)


@transforms("sklearn:PCA", "sklearn:TruncatedSVD", "sklearn:IncrementalPCA", "sklearn:FactorAnalysis")
def _projected(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    graph, x = inputs.graph, tensor_of(inputs, columns)
    kind = type(step).__name__
    if kind == "FactorAnalysis":
        raise Unsupported("there is no rule for FactorAnalysis")
    if kind == "TruncatedSVD":
        return columns_of(graph.product(x, step.components_.T))
    # As the library: not centred before the product, where sums of large terms would cancel out otherwise.
    projected = graph.product(x, step.components_.T)
    projected = graph.with_row("Sub", projected, (step.mean_.reshape(1, -1) @ step.components_.T).ravel())
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        scale[scale < np.finfo(float).eps] = np.finfo(float).eps
        projected = graph.with_row("Div", projected, scale)
    return columns_of(projected)


@transforms("sklearn:QuantileTransformer")
def _quantiles(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    """The mean of the interpolations from both sides, as the library has it for values that repeat."""
    if step.output_distribution != "uniform":
        raise Unsupported("QuantileTransformer's normal distribution has no operator")
    graph, x = inputs.graph, tensor_of(inputs, columns)
    return columns_of(graph.beside([
        _quantile(graph, graph.columns(x, [place]), step.quantiles_[:, place], step.references_)
        for place in range(x.width)
    ]))  # fmt: skip


def _quantile(graph: Graph, x: Tensor, quantiles: Any, references: Any) -> Tensor:
    forward = interpolated(graph, x, quantiles, references)
    backward = interpolated(graph, graph.each("Neg", x), -quantiles[::-1], -references[::-1])
    made = graph.with_row("Mul", graph.both("Sub", forward, backward), [0.5])
    low, high = graph.with_row("Equal", x, [quantiles[0]]), graph.with_row("Equal", x, [quantiles[-1]])
    made = graph.where(low, graph.row([0.0]), made.name, 1)
    return graph.where(high, graph.row([1.0]), made.name, 1)


def interpolated(graph: Graph, x: Tensor, at: Any, values: Any) -> Tensor:
    """`numpy.interp` of one column: between points, and the end's value beyond the ends; NaN stays.

    Args:
        graph: that is being written.
        x: shape (rows, 1).
        at: where the points lie, not falling, shape (n,).
        values: at the points, shape (n,).
    """
    at, values = np.asarray(at, np.float64), np.asarray(values, np.float64)
    widths = np.diff(at)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(widths > 0, np.diff(values) / widths, 0.0)
    reached = graph.cast(graph.node("GreaterOrEqual", [x.name, graph.row(at)], len(at)))
    place = graph.cast(graph.with_row("Sub", graph.over_columns("ReduceSum", reached), [1.0]), "INT64")
    low, last = graph.constant([[0]], np.int64), graph.constant([[len(at) - 1]], np.int64)
    place = graph.node("Min", [graph.node("Max", [place.name, low], 1).name, last], 1)

    def picked(table: Any) -> Tensor:
        return graph.node("Gather", [graph.constant(table), place.name], 1, axis=0)

    step = graph.both("Sub", _clipped(graph, x, at[0], at[-1]), picked(at))
    return graph.both("Add", graph.both("Mul", step, picked(np.append(slopes, 0.0))), picked(values))
