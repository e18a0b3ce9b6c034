"""For each leaf of a tree, values of the columns that its path asks about which lead there."""

from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.trees import BELOW, MEMBER, Tree


def leaf_values(tree: Tree, columns: int) -> Any:
    """For each leaf, a value of each column that its path asks about, and NaN for the others; shape (leaves, columns).

    Where a path can be taken by no value, as behind two questions that exclude each other, the value is one that is
    near. A missing value is not among them: the ways that it takes are tried by rows of their own.

    Args:
        tree: whose leaves are meant.
        columns: how many it is given.
    """
    count = len(tree.feature)
    low, high = np.full((count, columns), -np.inf), np.full((count, columns), np.inf)
    chosen = np.full((count, columns), np.nan)
    level = np.array([0])
    while len(level):
        inner = level[tree.feature[level] >= 0]
        for side in (tree.yes, tree.no):
            below = side[inner]
            low[below], high[below], chosen[below] = low[inner], high[inner], chosen[inner]
        _part_by_number(tree, inner[tree.mode[inner] != MEMBER], low, high)
        for node in inner[tree.mode[inner] == MEMBER].tolist():
            _part_by_member(tree, node, chosen)
        level = np.concatenate([tree.yes[inner], tree.no[inner]])
    leaves = np.flatnonzero(tree.feature < 0)
    return _between(low[leaves], high[leaves], chosen[leaves])


def _part_by_number(tree: Tree, nodes: Any, low: Any, high: Any) -> None:
    """What is left of a column below some nodes: `low < value <= high`."""
    features, splits = tree.feature[nodes], np.asarray(tree.split[nodes], np.float64)
    is_below = tree.mode[nodes] == BELOW
    splits = np.where(is_below, np.nextafter(splits.astype(np.float32), np.float32(-np.inf)), splits)
    yes, no = tree.yes[nodes], tree.no[nodes]
    high[yes, features] = np.minimum(high[yes, features], splits)
    low[no, features] = np.maximum(low[no, features], splits)


def _part_by_member(tree: Tree, node: int, chosen: Any) -> None:
    members, feature = tree.sets[node], tree.feature[node]
    chosen[tree.yes[node], feature] = members[0]
    chosen[tree.no[node], feature] = np.setdiff1d(np.arange(len(members) + 1), members)[0]


def _between(low: Any, high: Any, chosen: Any) -> Any:
    is_open_below, is_open_above = np.isinf(low), np.isinf(high)
    with np.errstate(invalid="ignore"):
        values = np.where(
            is_open_below,
            high - np.maximum(1e-3, np.abs(high) * 1e-3),
            np.where(is_open_above, low + np.maximum(1e-3, np.abs(low) * 1e-3), (low + high) / 2),
        )
    values = np.where(is_open_below & is_open_above, np.nan, values)
    return np.where(np.isnan(chosen), values, chosen)
