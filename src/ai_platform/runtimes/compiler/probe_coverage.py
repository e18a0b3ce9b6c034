"""The rows that two models are compared on, and what of the first they were seen to reach."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import LoadedModel, Outputs, Rows, Value, joined
from ai_platform.runtimes.base.sample_columns import places_of
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.compiler.fitted_columns import Column, Columns, inputs
from ai_platform.runtimes.compiler.fitted_knowledge import Knowledge, knowledge_of
from ai_platform.runtimes.compiler.leaf_coverage import LeafCoverage
from ai_platform.runtimes.compiler.lowering.lower import Lowered
from ai_platform.runtimes.compiler.probe_rows import (
    boundary_rows,
    knowledge_rows,
    leaf_rows,
    spread_rows,
    unknown_rows,
)
from ai_platform.runtimes.sklearn.inputs import known_inputs

MOST_SAMPLE_ROWS = 500
# A leaf behind columns that exclude one another, as those of one category do, cannot be reached by any row.
LEAST_LEAVES = 0.9
_FEWEST, _MOST = 512, 12_000
_PREDICTING_SECONDS = 0.4
_ROUNDS = 4
_ROWS_A_ROUND = 2_048
_LEAVES_A_ROUND = 8_192
# Seconds for reaching what the first rows left out, more for many leaves.
_SEARCHING_SECONDS, _MOST_SEARCHING_SECONDS = 3.0, 20.0
_LEAVES_PER_SECOND = 5_000
_ROWS_A_CLASS = 12
_MOST_SPLITS = 200


@dataclass(frozen=True, slots=True)
class Coverage:
    """What probe rows reached.

    Attributes:
        rows: how many there were.
        classes: classes that were predicted, and all; (0, 0) for a model without classes.
        leaves: leaves of trees that were reached, and all; (0, 0) for a model without trees.
        refused: rows that the model itself refused.
        varies: whether not all answers are the same; True for a model with classes, whose count says more.
    """

    rows: int
    classes: tuple[int, int]
    leaves: tuple[int, int]
    refused: int
    varies: bool

    @property
    def lack(self) -> str | None:
        """What is missing for a comparison that proves something; None when nothing is."""
        reached, classes = self.classes
        if reached < classes:
            return f"probe rows reach {reached} of its {classes} classes"
        if not self.varies:
            return "probe rows all have the same answer"
        reached, leaves = self.leaves
        if reached < LEAST_LEAVES * leaves:
            return f"probe rows reach {reached} of the {leaves} leaves of its trees"
        return None

    def __str__(self) -> str:
        parts = [f"{self.rows} rows"]
        parts += [f"{self.classes[0]} of {self.classes[1]} classes"] if self.classes[1] else []
        parts += [f"{self.leaves[0]} of {self.leaves[1]} leaves"] if self.leaves[1] else []
        return ", ".join(parts)


class ProbeRows:
    """Rows of what a model knows and of a sample, with the model's own answers.

    Args:
        estimator: fitted; it is as before afterwards.
        native: the same in service.
        signature: its inputs and classes.
        sample: golden and sample rows, shape (n, features), n >= 1; the first 500 are used.
        graph: the same as the graph that is to be compared with it.
        compiled: that graph in service. Boundaries are looked for in it, because it is the faster one: where its
            boundary is another than the model's, rows at it have other answers.

    Attributes:
        rows: shape (n, features); those before `structural` were not found by halving.
        outputs: what the model answers to them.
        unknown: rows with a category that no encoder has seen.

    Raises:
        Exception: what the model raises for its own sample.
    """

    def __init__(
        self,
        estimator: Any,
        native: LoadedModel,
        signature: Signature,
        sample: Rows,
        *,
        graph: Lowered,
        compiled: LoadedModel,
    ) -> None:
        self.native, self.signature = native, signature
        self._refused = 0
        kept = [list(row) for row in sample[:MOST_SAMPLE_ROWS]]
        native.predict(kept)
        starts = kept + spread_rows(signature, kept)
        known = knowledge_of(estimator, columns_given(estimator, signature), len(signature.inputs))
        most = _affordable(native, kept[:1])
        rows, outputs = self._answered(starts + knowledge_rows(known, signature, starts, most))
        leaves = LeafCoverage(graph, signature)
        rows, outputs = self._searched(rows, outputs, leaves, known, most)
        self.structural = len(rows)
        halved, more = self._answered(boundary_rows(compiled, signature, _of_each_class(rows, outputs)))
        self.rows, self.outputs = rows + halved, joined([outputs, more])
        self.unknown = unknown_rows(signature, kept)
        classes = signature.classes
        self.coverage = Coverage(
            len(self.rows),
            (0, 0) if classes is None else (len(set(self.outputs.class_numbers or ())), len(classes)),
            (leaves.reached, leaves.leaves),
            self._refused,
            classes is not None or len({str(one) for one in self.outputs.predictions}) > 1,
        )

    def _answered(self, rows: list[list[Value]]) -> tuple[list[list[Value]], Outputs]:
        """The rows that the model answers, and its answers; others are halved away, for one fails the whole call."""
        waiting, answered, splits = [rows], [], 0
        parts: list[Outputs] = []
        while waiting:
            some = waiting.pop()
            if not some:
                continue
            try:
                parts.append(self.native.predict(some))
                answered += some
            except Exception:  # noqa: BLE001  # a model raises what it likes
                splits += 1
                if len(some) == 1 or splits > _MOST_SPLITS:
                    self._refused += len(some)
                else:
                    waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
        return answered, joined(parts)

    def _searched(
        self, rows: list[list[Value]], outputs: Outputs, leaves: LeafCoverage, known: Knowledge, most: int
    ) -> tuple[list[list[Value]], Outputs]:
        """More rows while classes or leaves are left out: those of leaves, then such as mix what there is."""
        chance = np.random.default_rng(3)
        leaves.look(rows)
        seconds = max(_SEARCHING_SECONDS, min(_MOST_SEARCHING_SECONDS, leaves.leaves / _LEAVES_PER_SECOND))
        until = time.monotonic() + seconds
        base, taken, mixes = rows, 0, 0
        while not self._is_whole(outputs, leaves) and time.monotonic() < until and mixes < _ROUNDS:
            if taken < len(known.rows):
                more = leaf_rows(known, self.signature, base, taken, taken + _LEAVES_A_ROUND)
                taken += _LEAVES_A_ROUND
            else:
                mixes += 1
                more = _mixed(rows, min(most, _ROWS_A_ROUND), chance)
            answered, theirs = self._answered(more)
            leaves.look(answered)
            rows, outputs = rows + answered, joined([outputs, theirs])
        return rows, outputs

    def _is_whole(self, outputs: Outputs, leaves: LeafCoverage) -> bool:
        numbers = outputs.class_numbers
        reaches_classes = numbers is None or len(set(numbers)) == len(self.signature.classes or ())
        return reaches_classes and leaves.reached >= LEAST_LEAVES * leaves.leaves


def columns_given(estimator: Any, signature: Signature) -> Columns:
    """The estimator's own columns, each with the place of the input that it is."""
    known = known_inputs(estimator)
    if known is None:
        return inputs(len(signature.inputs))
    used = [one for one in known if one.used or one.name is None]
    if any(one.name is None for one in used):
        return inputs(len(known))
    places = places_of([feature.name for feature in signature.inputs], [one.name or "" for one in used])
    where = {used[place].name: number for number, place in enumerate(places) if place is not None}
    return [
        Column(where[one.name], lambda values: np.asarray(values).tolist()) if one.name in where else None
        for one in known
    ]


def _mixed(rows: list[list[Value]], count: int, chance: np.random.Generator) -> list[list[Value]]:
    """Rows whose values are drawn from each column by itself."""
    columns = list(zip(*rows, strict=True))
    picks = chance.integers(0, len(rows), (count, len(columns)))
    return [[column[pick] for column, pick in zip(columns, row, strict=True)] for row in picks.tolist()]


def _affordable(native: LoadedModel, row: Rows) -> int:
    begun = time.perf_counter()
    native.predict(list(row) * 64)
    seconds = (time.perf_counter() - begun) / 64
    return int(min(_MOST, max(_FEWEST, _PREDICTING_SECONDS / max(seconds, 1e-9))))


def _of_each_class(rows: list[list[Value]], outputs: Outputs) -> list[list[Value]]:
    """Some rows of each class, so that the boundaries of rare ones are looked for too; all rows without classes."""
    numbers = outputs.class_numbers
    if numbers is None:
        return rows[:: max(1, len(rows) // _FEWEST)]
    chosen: dict[int, list[list[Value]]] = {}
    for number, row in zip(numbers, rows, strict=True):
        chosen.setdefault(number, []).append(row)
    return [row for some in chosen.values() for row in some[:: max(1, len(some) // _ROWS_A_CLASS)][:_ROWS_A_CLASS]]
