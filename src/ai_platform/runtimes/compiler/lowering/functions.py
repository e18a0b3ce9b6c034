"""Functions of NumPy, of which `FunctionTransformer` and transformed targets are made, and their inverses."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import Columns, Inputs, columns_of, tensor_of
from ai_platform.runtimes.compiler.lowering.graph import Graph, Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import transforms

_LARGEST_SMALL = 0.5


def log1p(graph: Graph, x: Tensor) -> Tensor:
    """`log(u) * x / (u - 1)` with `u = 1 + x`, and x where u is 1: exact to the last bits also near zero.

    Goldberg, "What Every Computer Scientist Should Know About Floating-Point Arithmetic" (1991), theorem 4.
    """
    above = graph.with_row("Add", x, [1.0])
    near = graph.with_row("Equal", above, [1.0])
    part = graph.with_row("Sub", above, [1.0])
    safe = graph.where(near, graph.row([1.0]), part.name, x.width)
    whole = graph.both("Div", graph.both("Mul", graph.each("Log", above), x), safe)
    infinite = graph.with_row("Equal", x, [np.inf])
    made = graph.where(near, x.name, whole.name, x.width)
    return graph.where(infinite, x.name, made.name, x.width)


def expm1(graph: Graph, x: Tensor) -> Tensor:
    """`2 * exp(x / 2) * sinh(x / 2)`, with the series of sinh near zero."""
    plain = graph.with_row("Sub", graph.each("Exp", x), [1.0])
    # Horner's form of x + x²/2! + ... + x^14/14!, which is exact to the last bits below one half.
    series = graph.with_row("Mul", x, [0.0])
    for divisor in range(14, 0, -1):
        series = graph.with_row("Div", graph.both("Mul", graph.with_row("Add", series, [1.0]), x), [float(divisor)])
    small = graph.with_row("Less", graph.each("Abs", x), [_LARGEST_SMALL])
    return graph.where(small, series.name, plain.name, x.width)


def _plain(operator: str) -> Callable[[Graph, Tensor], Tensor]:
    return lambda graph, x: graph.each(operator, x)


def _power(exponent: float) -> Callable[[Graph, Tensor], Tensor]:
    return lambda graph, x: graph.with_row("Pow", x, [exponent])


def _scaled_log(factor: float) -> Callable[[Graph, Tensor], Tensor]:
    return lambda graph, x: graph.with_row("Mul", graph.each("Log", x), [factor])


_FUNCTIONS: dict[str, Callable[[Graph, Tensor], Tensor]] = {
    "log1p": log1p,
    "expm1": expm1,
    "log": _plain("Log"),
    "exp": _plain("Exp"),
    "sqrt": _plain("Sqrt"),
    "abs": _plain("Abs"),
    "absolute": _plain("Abs"),
    "fabs": _plain("Abs"),
    "negative": _plain("Neg"),
    "square": _power(2.0),
    "sign": _plain("Sign"),
    "floor": _plain("Floor"),
    "ceil": _plain("Ceil"),
    "tanh": _plain("Tanh"),
    "reciprocal": _plain("Reciprocal"),
    "log2": _scaled_log(1 / np.log(2)),
    "log10": _scaled_log(1 / np.log(10)),
}


def function(graph: Graph, called: Any, x: Tensor) -> Tensor:
    """A function of NumPy of each number.

    Raises:
        Unsupported: it is another function.
    """
    name = getattr(called, "__name__", "")
    rule = _FUNCTIONS.get(name)
    if rule is None or getattr(np, name, None) is not called:
        raise Unsupported(f"there is no rule for the function {name or type(called).__name__}")
    graph.may_be_infinite = True
    return rule(graph, x)


def inverse_function(graph: Graph, transformer: Any, x: Tensor) -> Tensor:
    """What a fitted transformer's `inverse_transform` makes of a tensor.

    Raises:
        Unsupported: there is no rule for it.
    """
    kind = type(transformer).__name__
    if kind == "FunctionTransformer":
        if transformer.inv_kw_args:
            raise Unsupported("a function of FunctionTransformer has arguments")
        return x if transformer.inverse_func is None else function(graph, transformer.inverse_func, x)
    if kind in {"StandardScaler", "RobustScaler"}:
        x = x if transformer.scale_ is None else graph.with_row("Mul", x, transformer.scale_)
        middle = transformer.mean_ if kind == "StandardScaler" else transformer.center_
        is_centred = transformer.with_mean if kind == "StandardScaler" else transformer.with_centering
        return graph.with_row("Add", x, middle) if is_centred else x
    if kind == "MinMaxScaler" and not transformer.clip:
        return graph.with_row("Div", graph.with_row("Sub", x, transformer.min_), transformer.scale_)
    if kind == "MaxAbsScaler":
        return graph.with_row("Mul", x, transformer.scale_)
    raise Unsupported(f"there is no rule for the inverse of {kind}")


@transforms("sklearn:FunctionTransformer")
def _function(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    if step.func is None:
        return columns
    # How histogram boosting names the check of its numeric columns.
    if getattr(step.func, "func", None) is not None and step.func.func.__name__ == "check_array":
        return columns_of(tensor_of(inputs, columns))
    if step.kw_args:
        raise Unsupported("a function of FunctionTransformer has arguments")
    return columns_of(function(inputs.graph, step.func, tensor_of(inputs, columns)))
