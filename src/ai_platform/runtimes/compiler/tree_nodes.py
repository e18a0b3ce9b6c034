"""Trees of a converted graph, made to go the way that scikit-learn's go.

scikit-learn casts what reaches a tree to float32 (`sklearn.tree` has `DTYPE = float32`) and compares it with thresholds
in float64; a missing value goes the way that was learnt. The converter gets neither right everywhere: from double
inputs it makes thresholds for comparisons in double and then rounds them, and it lets all missing values go right.
"""

from typing import Any

import numpy as np

from ai_platform.runtimes.sklearn.tables import parts_of


def correct(graph: Any, estimator: Any) -> None:
    """Change a graph's nodes of trees: inputs are cast to float32, thresholds and missing values as in the estimator.

    A node whose trees are not found in the estimator keeps what the converter made of it.

    Args:
        graph: the `GraphProto`, changed in place.
        estimator: what it was made of.
    """
    groups = [trees for part in parts_of(estimator) if (trees := _trees(part))]
    nodes = []
    for number, node in enumerate(graph.node):
        if node.op_type.startswith("TreeEnsemble"):
            attributes = {attribute.name: attribute for attribute in node.attribute}
            # With thresholds in double it is made for inputs in double.
            if "nodes_values" in attributes:
                nodes.append(_cast(node, number))
                _match(attributes, groups)
        nodes.append(node)
    made = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(made)


def node_count(estimator: Any) -> int:
    """Nodes of all trees in an estimator."""
    return sum(int(part.tree_.node_count) for part in parts_of(estimator) if hasattr(part, "tree_"))


def splits_on_missing(estimator: Any) -> bool:
    """Whether a tree has a node that parts missing values from all others; its threshold is infinite."""
    return any(np.isinf(part.tree_.threshold).any() for part in parts_of(estimator) if hasattr(part, "tree_"))


def _trees(part: Any) -> list[Any]:
    """What one node of the graph holds: a tree, or all trees of an ensemble in their order."""
    if hasattr(part, "tree_"):
        return [part.tree_]
    members = np.ravel(np.array(getattr(part, "estimators_", []), dtype=object)).tolist()
    return [member.tree_ for member in members] if all(hasattr(member, "tree_") for member in members) else []


def _cast(node: Any, number: int) -> Any:
    from onnx import TensorProto, helper

    source = node.input[0]
    node.input[0] = f"{source}_float32_{number}"
    return helper.make_node("Cast", [source], [node.input[0]], to=TensorProto.FLOAT)


def _match(attributes: dict[str, Any], groups: list[list[Any]]) -> None:
    tree_ids = np.array(attributes["nodes_treeids"].ints)
    node_ids = np.array(attributes["nodes_nodeids"].ints)
    features = np.array(attributes["nodes_featureids"].ints)
    for trees in groups:
        if len(trees) != tree_ids.max() + 1:
            continue
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        places = starts[tree_ids] + node_ids
        # Each node once, and each with the feature that it splits on.
        if not np.array_equal(np.sort(places), np.arange(starts[-1])):
            continue
        own = np.concatenate([tree.feature for tree in trees])[places]
        if not np.array_equal(np.maximum(own, 0), features):
            continue
        exact = np.concatenate([tree.threshold for tree in trees])[places]
        goes_left = np.concatenate([_missing_goes_left(tree) for tree in trees])[places]
        attributes["nodes_values"].floats[:] = np.where(own < 0, 0, _rounded_down(exact)).tolist()
        attributes["nodes_missing_value_tracks_true"].ints[:] = np.where(own < 0, 0, goes_left).astype(int).tolist()
        return


def _rounded_down(thresholds: Any) -> Any:
    """The largest float32 not above each: a float32 is not above the one if and only if it is not above the other."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _missing_goes_left(tree: Any) -> Any:
    found = getattr(tree, "missing_go_to_left", None)
    return np.zeros(tree.node_count) if found is None else np.asarray(found)
