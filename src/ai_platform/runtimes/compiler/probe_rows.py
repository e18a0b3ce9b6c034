"""Probe rows: what two models are compared on, drawn from what a fitted model knows and from a sample, if there is one.

They lie where the model was trained, at each value where something changes and one step to either side, in each leaf of
its trees, on and between the rows that it has kept, at the boundaries of its classes; some hold what is unknown.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ai_platform.runtimes.base.runtime import LoadedModel, Outputs, Rows, Value
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.compiler.fitted_knowledge import Knowledge

_PAIRS = 32
_ROUNDS = 30
# Without probabilities nothing tells how near a boundary a row is, and on it two right answers may differ.
_ROUNDS_WITHOUT_PROBABILITIES = 14
_SPREAD = 256
_NULL_CHANCE = 0.1
_UNKNOWN = "\ufffdunknown"
# Values of one input that are tried by themselves, and words of one vectorizer.
_MOST_VALUES = 400
_MOST_WORDS = 4_000
# As requests are bounded.
LARGEST = 1e100
_WORDS_A_TEXT = 8
# What tokenizers see differently: capitals, accents, one letter, digits, signs inside and between words, white space.
_TEXTS = (
    "", " ", "a", "I", "é", "ß", "Ünïcode CAFÉ naïve", "it's o'clock", "e-mail x_y", "1 22 3.14", "a b c d", "A B",
    "!?", "word, word; (word)", "tab\tand\nline", "two  blanks", "😀 ok", "don't STOP", "a1 b2", "CamelCase", "ﬁ ǆ",
    "日本語 text",
)  # fmt: skip


def spread_rows(signature: Signature, rows: Rows) -> list[list[Value]]:
    """Rows drawn evenly from each feature's range, with a missing value here and there where one is admitted.

    Args:
        signature: whose ranges and categories count beside those of the rows.
        rows: a sample, shape (n, features), n >= 1.
    """
    chance = np.random.default_rng(0)
    columns = [_column(feature, [row[place] for row in rows], chance) for place, feature in enumerate(signature.inputs)]
    return [list(row) for row in zip(*columns, strict=True)]


def knowledge_rows(known: Knowledge, signature: Signature, base: Rows, most: int) -> list[list[Value]]:
    """Rows of what a fitted model knows.

    Args:
        known: read of the model; its places are those of the signature.
        signature: the model's inputs.
        base: rows whose values fill what is left open, n >= 1.
        most: rows at most; a part of each kind is kept where there are more.
    """
    chance = np.random.default_rng(2)
    pools = [
        _fitting(feature, [*known.values[place], *known.edges[place]]) for place, feature in enumerate(signature.inputs)
    ]
    mixed = _mixed(pools, signature, base, chance)
    placed = _placed(_thinned(known.rows, most), signature, mixed, chance)
    others = [
        _stepped(known, signature, mixed, chance), _texts(known, signature, mixed), mixed, _missing(signature, mixed)
    ]  # fmt: skip
    share = max(1, most // len(others))
    return [*placed, *(row for rows in others for row in _thinned(rows, share))]


def leaf_rows(known: Knowledge, signature: Signature, base: Rows, start: int, stop: int) -> list[list[Value]]:
    """Rows of leaves, and rows that were kept, which a fitted model knows, completed by base rows.

    Args:
        known: read of the model; its places are those of the signature.
        signature: the model's inputs.
        base: rows whose values fill what is left open, n >= 1.
        start: the first of them.
        stop: the first behind them.
    """
    return _placed(known.rows[start:stop], signature, base, np.random.default_rng(start))


def _thinned(rows: list[Any], most: int) -> list[Any]:
    return rows if len(rows) <= most else rows[:: -(-len(rows) // most)]


def _mixed(
    pools: list[list[Value]], signature: Signature, base: Rows, chance: np.random.Generator
) -> list[list[Value]]:
    """Rows whose values are drawn from each input's own, as the base rows where nothing is known."""
    columns = []
    for place, (feature, pool) in enumerate(zip(signature.inputs, pools, strict=True)):
        seen = [row[place] for row in base]
        drawn = [seen[number] for number in chance.integers(0, len(seen), 2 * _SPREAD)]
        if pool:
            half: list[Value] = [pool[number] for number in chance.integers(0, len(pool), 2 * _SPREAD)]
            drawn = half if feature.type != "number" or not feature.categories else half[:_SPREAD] + drawn[:_SPREAD]
        columns.append(drawn)
    return [list(row) for row in zip(*columns, strict=True)]


def _stepped(known: Knowledge, signature: Signature, base: Rows, chance: np.random.Generator) -> list[list[Value]]:
    """A row for each value at which something changes, the others as in a base row."""
    made = []
    for place, feature in enumerate(signature.inputs):
        values = _fitting(feature, [*known.edges[place], *(feature.categories or ())])
        step = max(1, -(-len(values) // _MOST_VALUES))
        for value in values[::step]:
            row = list(base[int(chance.integers(0, len(base)))])
            row[place] = value
            made.append(row)
    return made


def _placed(
    known: list[dict[int, Any]], signature: Signature, base: Rows, chance: np.random.Generator
) -> list[list[Value]]:
    """Rows of leaves and rows that were kept, completed by base rows."""
    made = []
    for parts in known:
        row = list(base[int(chance.integers(0, len(base)))])
        for place, value in parts.items():
            fitting = _fitting(signature.inputs[place], [value])
            row[place] = fitting[0] if fitting else row[place]
        made.append(row)
    return made


def _texts(known: Knowledge, signature: Signature, base: Rows) -> list[list[Value]]:
    """A text of each word that a vectorizer knows, and what tokenizers see differently."""
    made: list[list[Value]] = []
    for place, feature in enumerate(signature.inputs):
        words = list(dict.fromkeys(known.texts[place]))
        if feature.type != "string" or not words:
            continue
        kept = words[:: max(1, -(-len(words) // _MOST_WORDS))]
        together = [" ".join(kept[start : start + _WORDS_A_TEXT]) for start in range(0, len(kept), _WORDS_A_TEXT)]
        shown = kept[:: max(1, len(kept) // 20)]
        changed = [form(word) for word in shown for form in (str.upper, str.title, lambda word: f"{word}s a {word}!")]
        for text in [*_TEXTS, *together, *changed, *kept[:200]]:
            row = list(base[len(made) % len(base)])
            row[place] = text
            made.append(row)
    return made


def _missing(signature: Signature, base: Rows) -> list[list[Value]]:
    """Each input that may be missing, missing by itself, and all of them together."""
    may_be = [place for place, feature in enumerate(signature.inputs) if feature.nullable]
    absences = [*([place] for place in may_be), may_be] if may_be else []
    return [
        [None if place in absent else value for place, value in enumerate(row)]
        for absent in absences
        for row in base[:4]
    ]


def _fitting(feature: Feature, values: Sequence[Any]) -> list[Value]:
    """Values that this input may have, each once, as its type writes them."""
    made: dict[Value, None] = {}
    for value in values:
        if feature.type == "string":
            fitting: Value = value if isinstance(value, str) else None
        elif feature.type == "boolean":
            fitting = bool(value) if value in (0, 1) else None
        elif isinstance(value, str | bool) or value is None or not abs(value) <= LARGEST:
            fitting = None
        else:
            fitting = round(value) if feature.type == "integer" else float(value)
        if fitting is not None and not (feature.enforced and _is_outside(feature, fitting)):
            made[fitting] = None
    return list(made)


def _is_outside(feature: Feature, value: Value) -> bool:
    if isinstance(value, str) or value is None:
        return False
    low, high = feature.minimum, feature.maximum
    return (low is not None and value < low) or (high is not None and value > high)


def boundary_rows(model: LoadedModel, signature: Signature, rows: Rows) -> list[list[Value]]:
    """Every row visited while halving the way between pairs of rows that the model answers differently.

    A classifier's boundary is where its label changes; for numbers, where the answer becomes nearer to the other end's,
    which finds the steps of trees.

    Args:
        model: the one whose boundaries are meant.
        signature: its inputs.
        rows: where to start, shape (n, features).

    Raises:
        Exception: whatever the model raises.
    """
    outputs = model.predict(rows)
    pairs = _pairs(outputs)
    if not pairs:
        return []
    ends = [list(rows[one]) for one, _ in pairs], [list(rows[other]) for _, other in pairs]
    targets = _answers(outputs)[[one for one, _ in pairs]], _answers(outputs)[[other for _, other in pairs]]
    visited: list[list[Value]] = []
    is_sure = outputs.probabilities is not None or outputs.class_numbers is None
    for _ in range(_ROUNDS if is_sure else _ROUNDS_WITHOUT_PROBABILITIES):
        middles = [_between(one, other, signature.inputs) for one, other in zip(*ends, strict=True)]
        visited.extend(middles)
        answers = _answers(model.predict(middles))
        nearer = _distance(answers, targets[0]) < _distance(answers, targets[1])
        for place, (middle, is_first) in enumerate(zip(middles, nearer.tolist(), strict=True)):
            ends[0 if is_first else 1][place] = middle
    return visited


def unknown_rows(signature: Signature, rows: Rows) -> list[list[Value]]:
    """The first row with a category that no encoder has seen, one for each feature of categories."""
    made = []
    for place, feature in enumerate(signature.inputs):
        if feature.type == "string" or (feature.categories and feature.type != "boolean"):
            row = list(rows[0])
            numbers = [one for one in feature.categories or () if not isinstance(one, str)]
            row[place] = _UNKNOWN if feature.type == "string" else max(numbers) + 1
            made.append(row)
    return made


def _column(feature: Feature, seen: Sequence[Value], chance: np.random.Generator) -> list[Value]:
    if feature.type in {"string", "boolean"} or feature.categories:
        known = [value for value in dict.fromkeys([*seen, *(feature.categories or ())]) if value is not None]
        drawn: list[Value] = [known[place] for place in chance.integers(0, len(known), _SPREAD)] if known else [None]
        drawn *= _SPREAD // len(drawn)
    else:
        low, high = _range(feature, [float(value) for value in seen if value is not None])
        numbers = chance.uniform(low, high, _SPREAD)
        drawn = [round(number) for number in numbers.tolist()] if feature.type == "integer" else numbers.tolist()
    if not feature.nullable:
        return drawn
    missing = (chance.random(_SPREAD) < _NULL_CHANCE).tolist()
    return [None if gone else value for gone, value in zip(missing, drawn, strict=True)]


def _range(feature: Feature, seen: list[float]) -> tuple[float, float]:
    low, high = feature.minimum, feature.maximum
    low = min(seen, default=0.0) if low is None else low
    high = max(seen, default=1.0) if high is None else high
    # One row says nothing about a range.
    return (low, high) if low < high else (low - max(1.0, abs(low)), low + max(1.0, abs(low)))


def _pairs(outputs: Outputs) -> list[tuple[int, int]]:
    answers = _answers(outputs)
    order = np.random.default_rng(1).permutation(len(outputs)).tolist()
    found: list[tuple[int, int]] = []
    for step in range(1, len(order)):
        for one, other in zip(order, order[step:] + order[:step], strict=True):
            if np.any(answers[one] != answers[other]):
                found.append((one, other))
            if len(found) == _PAIRS:
                return found
        if step > _PAIRS:
            break
    return found


def _answers(outputs: Outputs) -> Any:
    numbers = np.asarray(outputs.class_numbers if outputs.class_numbers is not None else outputs.predictions)
    return numbers.reshape(len(outputs), -1)


def _distance(answers: Any, targets: Any) -> Any:
    # Classes have no distance: a third class counts as the second end.
    if answers.dtype.kind in "iu":
        return (answers != targets).any(axis=1).astype(float)
    return np.abs(answers - targets).sum(axis=1)


def _between(one: Sequence[Value], other: Sequence[Value], inputs: Sequence[Feature]) -> list[Value]:
    return [
        (first + second) / 2
        if feature.type == "number"
        and isinstance(first, int | float)
        and isinstance(second, int | float)
        and not feature.categories
        else first
        for first, second, feature in zip(one, other, inputs, strict=True)
    ]
