"""LightGBM and XGBoost: the trees that their own dumps describe, summed as each library sums them."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import tensor_of
from ai_platform.runtimes.compiler.lowering.graph import Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import Predictor, largest, of_two, predicts
from ai_platform.runtimes.compiler.lowering.trees import (
    AT_MOST,
    BELOW,
    MEMBER,
    Tree,
    leaf,
    summed,
    summed_in_float32,
)

# Objectives of LightGBM by what is made of the sums (`src/objective/` of its sources).
_IDENTITY = frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"})
_EXPONENTIAL = frozenset({"poisson", "gamma", "tweedie"})
# What LightGBM takes for zero, up to and with it (kZeroThreshold, a float32).
_ZERO = float(np.float32(1e-35))


class _Booster(Predictor):
    @property
    def sums(self) -> Tensor:
        """The raw sums, one column a class, or one."""
        raise NotImplementedError

    @property
    def link(self) -> str:
        """What makes predictions of them: `identity`, `exponential`, `sigmoid` or `softmax`."""
        raise NotImplementedError

    @cached_property
    def numbers(self) -> Tensor:
        if self.link == "exponential":
            return self.graph.each("Exp", self.sums)
        if self.link == "sigmoid":
            return self.graph.each("Sigmoid", self.sums)
        if self.link != "identity":
            raise Unsupported(f"there is no rule for numbers of {self.link}")
        return self.sums

    @cached_property
    def probabilities(self) -> Tensor:
        if self.link == "softmax":
            return self.graph.each("Softmax", self.sums, axis=1)
        if self.link != "sigmoid" or self.sums.width != 1:
            raise Unsupported(f"there is no rule for probabilities of {self.link}")
        return of_two(self, self.graph.each("Sigmoid", self.sums))


@predicts("lightgbm:LGBMClassifier", "lightgbm:LGBMRegressor", "lightgbm:LGBMRanker")
class _LightGbm(_Booster):
    @cached_property
    def dump(self) -> dict[str, Any]:
        """What the booster writes of itself."""
        return _dumped(self.estimator.booster_)

    @cached_property
    def objective(self) -> list[str]:
        """Its name, and what it is set to."""
        return str(self.dump.get("objective", "")).split()

    @property
    def link(self) -> str:
        name = self.objective[0] if self.objective else ""
        if name in _IDENTITY and "sqrt" not in self.objective:
            return "identity"
        if name in _EXPONENTIAL:
            return "exponential"
        if name in {"binary", "cross_entropy"}:
            return "sigmoid"
        if name == "multiclass":
            return "softmax"
        raise Unsupported(f"there is no rule for the objective {name} of LightGBM")

    @cached_property
    def sums(self) -> Tensor:
        width = self.dump["num_tree_per_iteration"]
        trees = _lightgbm_trees(self.dump)
        made = summed(self.graph, self._asked(), [trees[place::width] for place in range(width)])
        if self.dump.get("average_output"):
            made = self.graph.with_row("Div", made, [len(trees) / width])
        steepness = next((float(one[8:]) for one in self.objective if one.startswith("sigmoid:")), 1.0)
        return made if steepness == 1 else self.graph.with_row("Mul", made, [steepness])

    def _asked(self) -> Tensor:
        """What its trees compare: numbers that are all but zero are zero."""
        graph, x = self.graph, tensor_of(self.inputs, self.columns)
        is_zero = graph.with_row("LessOrEqual", graph.each("Abs", x), [_ZERO])
        return graph.where(is_zero, graph.row([0.0]), x.name, x.width)


def _dumped(booster: Any) -> dict[str, Any]:
    if booster.pandas_categorical:
        raise Unsupported("LightGBM takes pandas categories")
    found: dict[str, Any] = booster.dump_model(num_iteration=booster.best_iteration or -1)
    return found


def _lightgbm_trees(dump: dict[str, Any]) -> list[Tree]:
    return [_of_lightgbm(one["tree_structure"]) for one in dump["tree_info"]]


def trees_of_booster(booster: Any) -> list[Tree]:
    """All trees of a booster of either library.

    Raises:
        Unsupported: there is no rule for them.
    """
    if hasattr(booster, "dump_model") and hasattr(booster, "pandas_categorical"):
        return _lightgbm_trees(_dumped(booster))
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    written = learner["gradient_booster"]
    return [_of_xgboost(one) for one in written.get("gbtree", written)["model"]["trees"]]


def _nested(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a dump, numbered in `number`, each before those below it."""
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        node["number"] = count
        count += 1
        yield node
        waiting += [node[side] for side in ("left_child", "right_child") if side in node]


def _of_lightgbm(root: dict[str, Any]) -> Tree:
    nodes = list(_nested(root))
    tree = _empty(len(nodes))
    for node in nodes:
        number = node["number"]
        if "leaf_value" in node and "split_feature" not in node:
            tree.value[number] = node["leaf_value"]
            continue
        tree.feature[number] = node["split_feature"]
        tree.yes[number], tree.no[number] = node["left_child"]["number"], node["right_child"]["number"]
        if node["decision_type"] == "==":
            tree.mode[number] = MEMBER
            tree.sets[number] = np.array(str(node["threshold"]).split("||"), np.float64)
            # A missing or unknown category is in no set.
            continue
        tree.split[number] = float(node["threshold"])
        kind = node["missing_type"]
        if kind == "Zero":
            raise Unsupported("LightGBM takes zero for missing")
        goes_left = node["default_left"] if kind == "NaN" else tree.split[number] >= 0
        tree.missing_yes[number] = goes_left
    return tree


def _empty(count: int) -> Tree:
    whole = np.zeros(count, np.int64)
    return Tree(
        whole - 1, np.zeros(count), whole.copy(), whole.copy(), whole.astype(bool), np.zeros(count), whole.copy()
    )


@predicts("lightgbm:Booster")
class _LightGbmFile(_LightGbm):
    """A booster of LightGBM's own file."""

    @cached_property
    def dump(self) -> dict[str, Any]:
        return _dumped(self.estimator)


@predicts("xgboost:XGBClassifier", "xgboost:XGBRegressor", "xgboost:XGBRanker", "xgboost:XGBRFClassifier",
          "xgboost:XGBRFRegressor")  # fmt: skip
class _XgBoost(_Booster):
    @cached_property
    def learner(self) -> dict[str, Any]:
        """What the booster writes of itself."""
        found: dict[str, Any] = json.loads(bytes(self._booster().save_raw("json")))["learner"]
        name = found["gradient_booster"].get("name", "gbtree")
        if name not in {"gbtree", "dart"}:
            raise Unsupported(f"there is no rule for the booster {name} of XGBoost")
        return found

    def _booster(self) -> Any:
        return self.estimator.get_booster()

    @property
    def link(self) -> str:
        name = self.learner["objective"]["name"]
        if name in {"binary:logistic", "reg:logistic"}:
            return "sigmoid"
        if name in {"multi:softprob", "multi:softmax"}:
            return "softmax"
        if name in {"count:poisson", "reg:gamma", "reg:tweedie"}:
            return "exponential"
        if name in {"reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror",
                    "reg:squaredlogerror", "rank:pairwise", "rank:ndcg", "rank:map", "binary:logitraw",
                    "binary:hinge"}:  # fmt: skip
            if name == "binary:hinge":
                raise Unsupported("there is no rule for the objective binary:hinge of XGBoost")
            return "identity"
        raise Unsupported(f"there is no rule for the objective {name} of XGBoost")

    @cached_property
    def sums(self) -> Tensor:
        written = self.learner["gradient_booster"]
        model = written.get("gbtree", written)["model"]  # that of dart is inside
        weights = written.get("weight_drop") or [1.0] * len(model["trees"])
        groups = np.array(model["tree_info"])
        rounds = self._trees_used(model)
        width = max(1, int(self.learner["learner_model_param"]["num_class"]), int(groups.max(initial=0)) + 1)
        starts = np.resize(self._starts(), width)
        targets = [
            [leaf(starts[place]), *(
                _of_xgboost(one, weight)
                for one, weight, group in zip(model["trees"][:rounds], weights[:rounds], groups[:rounds], strict=True)
                if group == place
            )]
            for place in range(width)
        ]  # fmt: skip
        return self.graph.cast(summed_in_float32(self.graph, self._asked(), targets))

    def _asked(self) -> Tensor:
        """What its trees compare, float32: zeros of a sparse matrix, and what the wrapper was told, are missing."""
        graph = self.graph
        x = graph.cast(tensor_of(self.inputs, self.columns), "FLOAT")
        told = getattr(self.estimator, "missing", None)
        absent = [0.0] if self.is_sparse else []
        absent += [float(told)] if told is not None and not np.isnan(told) else []
        nothing = graph.constant([[np.nan]], np.float32)
        for value in absent:
            is_absent = graph.node("Equal", [x.name, graph.constant([[value]], np.float32)], x.width)
            x = graph.where(is_absent, nothing, x.name, x.width)
        return x

    def _trees_used(self, model: dict[str, Any]) -> int:
        best = getattr(self.estimator, "best_iteration", None) if self._stopped_early() else None
        rounds = model["iteration_indptr"]
        return int(rounds[-1] if best is None else rounds[best + 1])

    def _stopped_early(self) -> bool:
        return "best_iteration" in (self.learner.get("attributes") or {})

    def _starts(self) -> Any:
        """The base score in the units of the sums."""
        written = self.learner["learner_model_param"]["base_score"]
        score = np.ravel(np.array(json.loads(written), np.float64))
        if self.link == "sigmoid":
            return -np.log(1.0 / score - 1.0)
        return np.log(score) if self.link == "exponential" else score

    @property
    def label(self) -> Tensor:
        if self.sums.width > 1:
            return largest(self, self.probabilities)
        second = self.graph.columns(self.probabilities, [1])
        return self.graph.cast(self.graph.with_row("Greater", second, [0.5]), "INT64")


@predicts("xgboost:Booster")
class _XgBoostFile(_XgBoost):
    """A booster of XGBoost's own file, which stops early only where the wrapper of scikit-learn wrote it."""

    def _booster(self) -> Any:
        return self.estimator

    def _trees_used(self, model: dict[str, Any]) -> int:
        attributes = self.learner.get("attributes") or {}
        is_of_wrapper = "scikit_learn" in attributes and "best_iteration" in attributes
        last = int(attributes["best_iteration"]) + 1 if is_of_wrapper else -1
        return int(model["iteration_indptr"][last])


def _of_xgboost(written: dict[str, Any], weight: float = 1.0) -> Tree:
    if int(written["tree_param"]["size_leaf_vector"]) > 1:
        raise Unsupported("there is no rule for leaves of several outputs of XGBoost")
    left, right = np.array(written["left_children"]), np.array(written["right_children"])
    conditions = np.array(written["split_conditions"], np.float32)
    is_leaf = left < 0
    tree = Tree(
        np.where(is_leaf, -1, np.array(written["split_indices"])),
        np.where(is_leaf, 0, conditions),
        np.where(is_leaf, 0, left), np.where(is_leaf, 0, right),
        np.array(written["default_left"], bool), np.where(is_leaf, conditions * np.float32(weight), 0),
        np.where(is_leaf, AT_MOST, BELOW),
    )  # fmt: skip
    kinds = np.array(written["split_type"])
    if len(kinds) and kinds.any():
        _ask_members(tree, written)
    return tree


def _ask_members(tree: Tree, written: dict[str, Any]) -> None:
    """Nodes that ask for a category: what is in the set goes to the right."""
    categories = np.array(written["categories"])
    for node, start, size in zip(
        written["categories_nodes"], written["categories_segments"], written["categories_sizes"], strict=True
    ):
        tree.mode[node] = MEMBER
        tree.sets[node] = categories[start : start + size].astype(np.float64)
        tree.yes[node], tree.no[node] = tree.no[node], tree.yes[node]
        tree.missing_yes[node] = not tree.missing_yes[node]
