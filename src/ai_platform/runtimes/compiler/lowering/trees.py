"""Trees as one operator: `TreeEnsemble` of ONNX's machine-learning operators, whose splits and leaves are float64.

<https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html>
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.graph import Graph, Tensor, Unsupported

AT_MOST, BELOW, MEMBER = 0, 1, 6
"""How a node decides, as the operator numbers it: `x <= split`, `x < split`, or x is one of a set."""

# A node takes eight attributes in the file, a leaf two.
_BYTES_A_NODE = 40


@dataclass(slots=True)
class Tree:
    """One tree; entry i of each array belongs to node i, and node 0 is the root.

    Attributes:
        feature: the column that is asked, or -1 for a leaf; shape (nodes,).
        split: what it is compared with; shape (nodes,).
        yes: the node for which the answer is yes; shape (nodes,).
        no: the other; shape (nodes,).
        missing_yes: whether a missing value goes where the answer is yes; shape (nodes,).
        value: of leaves, what they add; shape (nodes,).
        mode: how a node decides: AT_MOST, BELOW or MEMBER; shape (nodes,).
        sets: of nodes that ask for a member, the members.
    """

    feature: Any
    split: Any
    yes: Any
    no: Any
    missing_yes: Any
    value: Any
    mode: Any
    sets: dict[int, Any] = field(default_factory=dict)

    def asking_for_leaves(self) -> "Tree":
        """The same tree, answering with the number of the leaf, from 0."""
        leaves = np.flatnonzero(self.feature < 0)
        value = np.zeros(len(self.feature))
        value[leaves] = np.arange(len(leaves))
        return Tree(self.feature, self.split, self.yes, self.no, self.missing_yes, value, self.mode, self.sets)

    @property
    def leaves(self) -> int:
        """How many leaves it has."""
        return int((self.feature < 0).sum())


def leaf(value: float) -> Tree:
    """A tree that always answers the same."""
    none = np.zeros(1, np.int64)
    return Tree(none - 1, np.zeros(1), none, none, none.astype(bool), np.array([value]), none)


def of_sklearn(tree: Any, values: Any) -> Tree:
    """A tree of scikit-learn.

    Args:
        tree: its `tree_`.
        values: what each node adds, shape (nodes,).
    """
    missing = getattr(tree, "missing_go_to_left", None)
    return Tree(
        np.asarray(tree.feature),
        np.asarray(tree.threshold, np.float64),
        np.asarray(tree.children_left),
        np.asarray(tree.children_right),
        np.zeros(tree.node_count, bool) if missing is None else np.asarray(missing, bool),
        np.asarray(values, np.float64),
        np.zeros(tree.node_count, np.int64),
    )


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees of a graph, and what they ask.

    Attributes:
        asked: the tensor.
        trees: each once, also where it answers for several targets.
        dtype: of its numbers.
    """

    asked: Tensor
    trees: list[Tree]
    dtype: Any


def leaf_numbers(graph: Graph, ensemble: Ensemble) -> Tensor:
    """For each tree the leaf that a row comes to; shape (rows, trees)."""
    parts = _Parts()
    for number, tree in enumerate(ensemble.trees):
        parts.add(tree.asking_for_leaves(), number)
    return parts.node(graph, ensemble.asked, len(ensemble.trees), ensemble.dtype)


def _noted(graph: Graph, x: Tensor, targets: Sequence[Sequence[Tree]], dtype: Any) -> Tensor:
    parts = _Parts()
    trees: dict[int, Tree] = {}
    for target, own in enumerate(targets):
        for tree in own:
            parts.add(tree, target)
            if tree.leaves > 1:
                trees.setdefault(id(tree.feature), tree)
    if parts.count * _BYTES_A_NODE > graph.largest_bytes:
        raise Unsupported(f"its trees would make a graph of more than {graph.largest_bytes // 1_000_000} MB")
    graph.ensembles.append(Ensemble(x, list(trees.values()), dtype))
    return parts.node(graph, x, len(targets), dtype)


def summed(graph: Graph, x: Tensor, targets: Sequence[Sequence[Tree]]) -> Tensor:
    """For each target the sum of its trees, in their order; shape (rows, targets).

    Args:
        graph: that is being written.
        x: what the trees ask, float64 or float32; their numbers are of the same type.
        targets: for each, its trees.

    Raises:
        Unsupported: the graph would become too large.
    """
    return _noted(graph, x, targets, np.float64)


def summed_in_float32(graph: Graph, x: Tensor, targets: Sequence[Sequence[Tree]]) -> Tensor:
    """As `summed`, of float32: numbers, comparisons and sums, which is how XGBoost computes."""
    return _noted(graph, x, targets, np.float32)


class _Parts:
    """The operator's attributes, of which each tree adds its own."""

    def __init__(self) -> None:
        self._nodes: list[dict[str, Any]] = []
        self._roots: list[int] = []
        self._weights: list[Any] = []
        self._targets: list[Any] = []
        self._members: list[float] = []
        self._nodes_count = 0
        self._leaves_count = 0

    def add(self, tree: Tree, target: int) -> None:
        """Add one tree to what is summed up for a target."""
        is_leaf = tree.feature < 0
        if is_leaf[0]:  # the operator knows no tree without a question
            tree = _asking(tree)
            is_leaf = tree.feature < 0
        inner, leaves = np.flatnonzero(~is_leaf), np.flatnonzero(is_leaf)
        number = np.empty(len(is_leaf), np.int64)
        number[inner] = self._nodes_count + np.arange(len(inner))
        number[leaves] = self._leaves_count + np.arange(len(leaves))
        for node in sorted(tree.sets):
            self._members += [*tree.sets[node], np.nan]
        self._nodes.append({
            "nodes_featureids": tree.feature[inner], "nodes_splits": tree.split[inner],
            "nodes_modes": tree.mode[inner], "nodes_missing_value_tracks_true": tree.missing_yes[inner],
            "nodes_truenodeids": number[tree.yes[inner]], "nodes_falsenodeids": number[tree.no[inner]],
            "nodes_trueleafs": is_leaf[tree.yes[inner]], "nodes_falseleafs": is_leaf[tree.no[inner]],
        })  # fmt: skip
        self._roots.append(self._nodes_count)
        self._weights.append(tree.value[leaves])
        self._targets.append(np.full(len(leaves), target))
        self._nodes_count += len(inner)
        self._leaves_count += len(leaves)

    @property
    def count(self) -> int:
        """Nodes and leaves."""
        return self._nodes_count + self._leaves_count

    def node(self, graph: Graph, x: Tensor, targets: int, dtype: Any) -> Tensor:
        """Write the operator."""
        from onnx import numpy_helper

        def together(name: str) -> Any:
            return np.concatenate([one[name] for one in self._nodes])

        def tensor(values: Any, kind: Any) -> Any:
            return numpy_helper.from_array(np.ascontiguousarray(values, kind))

        whole = {
            name: together(name).astype(np.int64).tolist()
            for name in (
                "nodes_featureids", "nodes_missing_value_tracks_true", "nodes_truenodeids", "nodes_falsenodeids",
                "nodes_trueleafs", "nodes_falseleafs",
            )
        }  # fmt: skip
        members = {"membership_values": tensor(self._members, dtype)} if self._members else {}
        return graph.node(
            "TreeEnsemble", [x.name], targets, **whole, **members,
            nodes_splits=tensor(together("nodes_splits"), dtype), nodes_modes=tensor(together("nodes_modes"), np.uint8),
            tree_roots=self._roots, leaf_targetids=np.concatenate(self._targets).astype(np.int64).tolist(),
            leaf_weights=tensor(np.concatenate(self._weights), dtype), n_targets=targets, aggregate_function=1,
            post_transform=0,
        )  # fmt: skip


def _asking(tree: Tree) -> Tree:
    """A tree of one leaf as one that asks something, and gives the same for either answer."""
    value = np.array([0.0, tree.value[0], tree.value[0]])
    three = np.zeros(3, np.int64)
    return Tree(
        np.array([0, -1, -1]), np.zeros(3), np.array([1, 0, 0]), np.array([2, 0, 0]), three.astype(bool), value, three
    )
