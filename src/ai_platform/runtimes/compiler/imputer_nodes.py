"""Imputers of a converted graph of doubles: ONNX Runtime has that operator for float32 only, and its values too."""

from typing import Any

import numpy as np

from ai_platform.runtimes.sklearn.tables import parts_of

_NEAR = 1e-6  # a float32 of the same number is this near, relative to it


def correct_imputers(graph: Any, estimator: Any) -> None:
    """Replace each imputer of missing numbers by a choice between the value and what the estimator fills in, in double.

    A node whose values are not found in the estimator keeps what the converter made of it.

    Args:
        graph: the `GraphProto` of a conversion from double inputs, changed in place.
        estimator: what it was made of.
    """
    from onnx import helper, numpy_helper

    learnt = [np.asarray(part.statistics_) for part in parts_of(estimator) if _fills_numbers(part)]
    nodes = []
    for number, node in enumerate(graph.node):
        filled = _found(node, learnt) if node.op_type == "Imputer" else None
        if filled is None:
            nodes.append(node)
            continue
        source, missing, values = node.input[0], f"missing_{number}", f"filled_{number}"
        graph.initializer.append(numpy_helper.from_array(filled.reshape(1, -1), values))
        nodes.append(helper.make_node("IsNaN", [source], [missing]))
        nodes.append(helper.make_node("Where", [missing, values, source], [node.output[0]]))
    made = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(made)


def _fills_numbers(part: Any) -> bool:
    found = getattr(part, "statistics_", None)
    return found is not None and np.asarray(found).dtype.kind == "f"


def _found(node: Any, learnt: list[Any]) -> Any | None:
    """What the estimator fills in, in double; None when it is not known, or when it is not NaN that is replaced."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    replaced = attributes.get("replaced_value_float")
    if replaced is None or not np.isnan(replaced.f) or "imputed_value_floats" not in attributes:
        return None
    rounded = np.array(attributes["imputed_value_floats"].floats)
    for values in learnt:
        if len(values) == len(rounded) and np.allclose(values, rounded, rtol=_NEAR, atol=_NEAR):
            return np.asarray(values, np.float64)
    return None
