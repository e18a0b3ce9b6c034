"""What a fitted estimator knows of its inputs' values: where they lay, what it splits on, what it has kept."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.fitted_columns import Column, Columns, after, inner_steps
from ai_platform.runtimes.compiler.leaf_boxes import leaf_values
from ai_platform.runtimes.compiler.lowering.boosters import trees_of_booster
from ai_platform.runtimes.compiler.lowering.forests import histogram_trees
from ai_platform.runtimes.compiler.lowering.graph import Unsupported
from ai_platform.runtimes.compiler.lowering.trees import MEMBER, Tree, of_sklearn

# Standard deviations to either side of the middle of a column.
_DEVIATIONS = np.linspace(-4, 4, 33)
_SHARES = np.linspace(-0.25, 1.25, 31)
_MOST_ROWS = 2_000
_MOST_LEAVES = 200_000
# Of one column, so that noting each of them stays a matter of milliseconds.
_MOST_SPLITS = 1_000


@dataclass(slots=True)
class Knowledge:
    """Values of each input, and rows in parts, that an estimator would tell apart or has seen.

    Attributes:
        values: for each input, values that it may have.
        edges: for each input, values at which something changes.
        rows: inputs of one row by place; the others are left open.
        texts: for each input, words of its vectorizers.
        leaves: leaves for which a row was made.
    """

    values: list[list[Any]]
    edges: list[list[Any]]
    rows: list[dict[int, Any]] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    leaves: int = 0


def knowledge_of(estimator: Any, columns: Columns, count: int) -> Knowledge:
    """Read a fitted estimator; what cannot be read of a step is left out.

    Args:
        estimator: fitted.
        columns: those that it is given, with the places of the inputs that they are.
        count: of the inputs.
    """
    found = Knowledge([[] for _ in range(count)], [[] for _ in range(count)], texts=[[] for _ in range(count)])
    _Reader(found).through(estimator, columns)
    return found


class _Reader:
    def __init__(self, found: Knowledge) -> None:
        self.found = found

    def through(self, estimator: Any, columns: Columns | None) -> Columns | None:
        """Note what a step knows, and tell which columns go on from it."""
        if estimator is None or isinstance(estimator, str) or columns is None:
            return columns
        if hasattr(estimator, "steps"):
            for _name, step in estimator.steps:
                columns = self.through(step, columns)
            return columns
        if type(estimator).__name__ == "Booster":
            _booster(self, None, columns, estimator)
            return None
        inner = list(inner_steps(estimator, columns))
        if inner and all(hasattr(step, "tree_") and given == columns for step, given in inner):
            trees = [of_sklearn(step.tree_, np.zeros(step.tree_.node_count)) for step, _given in inner]
            _note_trees(self, trees, columns)
            return None
        if inner and not hasattr(estimator, "tree_"):
            flows = [self.through(step, given) for step, given in inner]
            self.leaf(estimator, columns)
            return None if None in flows else [column for flow in flows if flow is not None for column in flow]
        self.leaf(estimator, columns)
        return after(estimator, columns) if hasattr(estimator, "transform") else None

    def leaf(self, step: Any, columns: Columns) -> None:
        """Note what one fitted step keeps of its inputs."""
        for name, note in _NOTES:
            kept = vars(step).get(name)
            if kept is None and name != "vocabulary_":
                continue
            try:
                note(self, step, columns, kept)
            except (AttributeError, IndexError, TypeError, ValueError):
                continue  # another step's attribute of the same name

    def note(self, column: Column | None, values: Any, *, edges: bool = False) -> None:
        """Values of one column."""
        if column is not None:
            kept = self.found.edges if edges else self.found.values
            kept[column.place] += _finite(column.raw(np.asarray(values)))

    def note_each(self, columns: Columns, table: Any, *, edges: bool = False) -> None:
        """Values of each column, shape (columns, values)."""
        for column, values in zip(columns, table, strict=False):
            self.note(column, values, edges=edges)

    def note_rows(self, columns: Columns, rows: Any) -> None:
        """Whole rows, shape (n, columns); and for each the middle of the way to the next, where distances are equal."""
        rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != len(columns):  # noqa: PLR2004
            return
        step = max(1, len(rows) * 2 // _MOST_ROWS)
        kept = rows[::step]
        both = np.concatenate([kept, (kept + np.roll(kept, 1, axis=0)) / 2])
        raw = [
            (column.place, column.raw(both[:, number])) for number, column in enumerate(columns) if column is not None
        ]
        self.found.rows += [{place: values[row] for place, values in raw} for row in range(len(both))]


def _scaled(reader: _Reader, step: Any, columns: Columns, _kept: Any) -> None:
    grid = _SHARES if hasattr(step, "data_min_") or hasattr(step, "max_abs_") else _DEVIATIONS
    reader.note_each(after(step, columns) or [], [grid] * len(columns))


def _means(reader: _Reader, step: Any, columns: Columns, _kept: Any) -> None:
    """Of principal components: each column's mean and spread."""
    variance = (step.components_**2 * step.explained_variance_[:, None]).sum(axis=0) + step.noise_variance_
    reader.note_each(columns, step.mean_[:, None] + np.sqrt(variance)[:, None] * _DEVIATIONS)


def _classes(reader: _Reader, step: Any, columns: Columns, kept: Any) -> None:
    """Of naive Bayes: each class's mean and spread of each column."""
    for means, variances in zip(kept, step.var_, strict=True):
        reader.note_each(columns, means[:, None] + np.sqrt(variances)[:, None] * _DEVIATIONS)
    reader.note_rows(columns, kept)


def _planes(reader: _Reader, step: Any, columns: Columns, kept: Any) -> None:
    """Of linear models: rows to both sides of each plane, in all columns together and in each alone."""
    weights, bias = np.atleast_2d(kept), np.ravel(getattr(step, "intercept_", 0.0))
    for row, shift in zip(weights, np.resize(bias, len(weights)), strict=True):
        if not row.any():
            continue
        foot = -shift * row / (row @ row)
        far = row / np.abs(row).max() ** 2
        rows = [foot + times * far for times in _AWAY]
        for place in np.flatnonzero(row)[:50]:
            alone = np.zeros(len(row))
            rows += [np.where(np.arange(len(row)) == place, (times - shift) / row[place], alone) for times in _AWAY]
        reader.note_rows(columns, np.array(rows))


# Not on the plane itself, where the order of adding up decides, and two right answers may differ.
_AWAY = (-30.0, -5.0, -1.0, -1e-3, -1e-6, 1e-6, 1e-3, 1.0, 5.0, 30.0)


def _tree(reader: _Reader, step: Any, columns: Columns, _kept: Any) -> None:
    _note_trees(reader, [of_sklearn(step.tree_, np.zeros(step.tree_.node_count))], columns)


def _histogram(reader: _Reader, step: Any, columns: Columns, _kept: Any) -> None:
    preprocessor = step._preprocessor  # noqa: SLF001  # it has no public name
    given = columns if preprocessor is None else reader.through(preprocessor, columns)
    if given is not None:
        _note_trees(reader, histogram_trees(step), given)


def _booster(reader: _Reader, _step: Any, columns: Columns, kept: Any) -> None:
    with contextlib.suppress(Unsupported):
        _note_trees(reader, trees_of_booster(kept), columns)


def _note_trees(reader: _Reader, trees: list[Tree], columns: Columns) -> None:
    """Of trees: where they split, members of sets, and a row for each leaf."""
    for number, column in enumerate(columns):
        asked = [np.asarray(tree.split[(tree.feature == number) & (tree.mode != MEMBER)], float) for tree in trees]
        splits = np.unique(np.concatenate([*asked, [np.nan]]))
        splits = splits[np.isfinite(splits)]
        splits = splits[:: max(1, len(splits) // _MOST_SPLITS)]
        near = splits.astype(np.float32)
        ends = (np.float32(np.inf), np.float32(-np.inf))
        steps = [splits, near, *(np.nextafter(near, end) for end in ends)]
        steps += [np.nextafter(splits, end) for end in (np.inf, -np.inf)]
        if len(splits):  # scalers refuse a table without rows
            reader.note(column, np.concatenate(steps).astype(float), edges=True)
        members = [tree.sets[node] for tree in trees for node in tree.sets if tree.feature[node] == number]
        if members:
            reader.note(column, np.unique(np.concatenate(members)), edges=True)
    left = max(0, _MOST_LEAVES - reader.found.leaves)
    values = np.concatenate([leaf_values(tree, len(columns)) for tree in trees])[:left]
    reader.found.leaves += len(values)
    made: list[dict[int, Any]] = [{} for _ in range(len(values))]
    for number, column in enumerate(columns):
        rows = np.flatnonzero(~np.isnan(values[:, number]))
        if column is not None and len(rows):
            for row, value in zip(rows.tolist(), column.raw(values[rows, number]), strict=True):
                made[row][column.place] = value
    reader.found.rows += made


def _vocabulary(reader: _Reader, step: Any, columns: Columns, _kept: Any) -> None:
    words = getattr(step, "vocabulary_", None)
    for column in columns:
        if column is not None and (words is not None or hasattr(step, "build_analyzer")):
            reader.found.texts[column.place] += [str(word) for word in words or ()] or ["word"]


def _edges(reader: _Reader, _step: Any, columns: Columns, kept: Any) -> None:
    for column, edges in zip(columns, kept, strict=True):
        near = [np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), (edges[1:] + edges[:-1]) / 2]
        reader.note(column, np.concatenate([edges, *near]), edges=True)


def _finite(values: list[Any]) -> list[Any]:
    return [value for value in values if not isinstance(value, float) or np.isfinite(value)]


_NOTES: tuple[tuple[str, Any], ...] = (
    ("scale_", _scaled),
    ("lambdas_", _scaled),
    ("quantiles_", lambda reader, _step, columns, kept: reader.note_each(columns, np.asarray(kept).T)),
    ("statistics_", lambda reader, _step, columns, kept: reader.note_each(columns, np.asarray(kept)[:, None])),
    ("data_min_", lambda reader, step, columns, kept: reader.note_each(columns, np.stack([kept, step.data_max_], 1))),
    ("categories_", lambda reader, _step, columns, kept: reader.note_each(columns, kept)),
    ("bin_edges_", _edges),
    ("bsplines_", lambda reader, _step, columns, kept: _edges(reader, None, columns, [one.t for one in kept])),
    ("threshold", lambda reader, _step, columns, kept: reader.note_each(columns, [[kept]] * len(columns), edges=True)),
    ("explained_variance_", _means),
    ("theta_", _classes),
    ("means_", lambda reader, _step, columns, kept: reader.note_rows(columns, kept)),
    ("cluster_centers_", lambda reader, _step, columns, kept: reader.note_rows(columns, kept)),
    ("centroids_", lambda reader, _step, columns, kept: reader.note_rows(columns, kept)),
    ("support_vectors_", lambda reader, _step, columns, kept: reader.note_rows(columns, kept)),
    ("_fit_X", lambda reader, _step, columns, kept: reader.note_rows(columns, kept)),
    ("X_train_", lambda reader, _step, columns, kept: reader.note_rows(columns, kept)),
    ("coef_", _planes),
    ("tree_", _tree),
    ("_predictors", _histogram),
    ("_Booster", _booster),
    ("vocabulary_", _vocabulary),
)  # fmt: skip
