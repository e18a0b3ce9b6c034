"""Which leaves of an estimator's trees are reached while it predicts."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ai_platform.runtimes.sklearn.tables import parts_of

_METHODS = ("predict_proba", "predict", "decision_function", "_raw_predict", "apply", "transform")


class LeafCoverage:
    """Counts the leaves that were reached, of all trees of one estimator.

    Args:
        estimator: fitted, of scikit-learn.
    """

    def __init__(self, estimator: Any) -> None:
        parts = list(parts_of(estimator))
        owned = [(part, _members(part)) for part in parts if not hasattr(part, "tree_")]
        ensembles = [(part, trees) for part, trees in owned if trees]
        inside = {id(tree) for _part, trees in ensembles for tree in trees}
        alone = [(part, [part.tree_]) for part in parts if hasattr(part, "tree_") and id(part.tree_) not in inside]
        self._owners = [*ensembles, *alone]
        # A selector's own trees, say, chose columns once and have no part in predictions.
        self._called: set[int] = set()
        self._reached = {
            id(tree): np.zeros(tree.node_count, bool) for _part, trees in self._owners for tree in trees
        }  # fmt: skip

    @property
    def leaves(self) -> int:
        """Leaves of all trees that had a part in predictions."""
        used = [trees for part, trees in self._owners if id(part) in self._called]
        return sum(int((tree.children_left < 0).sum()) for trees in used for tree in trees)

    @property
    def reached(self) -> int:
        """Leaves that some row came to."""
        return sum(int(reached.sum()) for reached in self._reached.values())

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count while the estimator predicts in this thread; afterwards it is as before."""
        for part, trees in self._owners:
            for name in _METHODS:
                method = getattr(part, name, None)
                if callable(method):
                    vars(part)[name] = self._counted(part, method, trees)
        try:
            yield
        finally:
            for part, _trees in self._owners:
                for name in _METHODS:
                    vars(part).pop(name, None)

    def _counted(self, part: Any, method: Any, trees: list[Any]) -> Any:
        def counted(table: Any, *args: Any, **named: Any) -> Any:
            self._called.add(id(part))
            with contextlib.suppress(ValueError, TypeError):  # a table that the estimator itself converts or refuses
                dense = table.toarray() if hasattr(table, "toarray") else table
                numbers = np.ascontiguousarray(np.asarray(dense, dtype=np.float32))
                for tree in trees:
                    self._reached[id(tree)][tree.apply(numbers)] = True
            return method(table, *args, **named)

        return counted


def _members(part: Any) -> list[Any]:
    """The trees that an ensemble gives the table that it is given itself."""
    members = np.ravel(np.array(vars(part).get("estimators_", []), dtype=object)).tolist()
    whole = not hasattr(part, "estimators_features_")
    return [member.tree_ for member in members] if whole and all(hasattr(one, "tree_") for one in members) else []
