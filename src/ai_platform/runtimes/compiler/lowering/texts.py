"""Vectorizers of texts: words are counted where the request is read, and what follows is computed in the graph."""

from typing import Any

import numpy as np

from ai_platform.runtimes.compiler.lowering.columns import Columns, Inputs, Raw, columns_of, tensor_of
from ai_platform.runtimes.compiler.lowering.graph import Graph, Tensor, Unsupported
from ai_platform.runtimes.compiler.lowering.rules import transforms
from ai_platform.runtimes.compiler.lowering.scaling import normalized
from ai_platform.runtimes.onnx.texts import LONGEST, TOKEN_PATTERNS, TextInput

# Counts stand in a dense row: beyond this the library's sparse one is faster.
_MOST_WORDS = 60_000
_LEAST_BYTES = 4
_OWN = ("preprocessor", "tokenizer")


@transforms("sklearn:CountVectorizer")
def _counted(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    return columns_of(_counts(step, inputs, columns))


@transforms("sklearn:TfidfVectorizer")
def _weighted(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    return columns_of(_by_frequency(inputs.graph, _counts(step, inputs, columns), step._tfidf))  # noqa: SLF001


@transforms("sklearn:TfidfTransformer")
def _weighted_counts(step: Any, inputs: Inputs, columns: Columns) -> Columns:
    return columns_of(_by_frequency(inputs.graph, tensor_of(inputs, columns), step))


def _counts(step: Any, inputs: Inputs, columns: Columns) -> Tensor:
    if len(columns) != 1 or not isinstance(columns[0], Raw):
        raise Unsupported(f"{type(step).__name__} is given something else than a text")
    return inputs.text(_text_input(step, columns[0].place))


def _text_input(step: Any, place: int) -> TextInput:
    own = next((name for name in _OWN if getattr(step, name) is not None), None)
    if own is not None or callable(step.analyzer) or callable(step.strip_accents) or step.input != "content":
        raise Unsupported(f"{type(step).__name__} has code of its own")
    if step.analyzer == "word" and step.token_pattern not in TOKEN_PATTERNS:
        raise Unsupported(f"{type(step).__name__} cuts words by a pattern of its own")
    if np.dtype(step.dtype).kind != "f" and np.dtype(step.dtype).itemsize < _LEAST_BYTES:
        raise Unsupported(f"{type(step).__name__} counts in {np.dtype(step.dtype).name}, which is soon full")
    if step.ngram_range[1] > LONGEST:
        raise Unsupported(f"{type(step).__name__} has n-grams of more than {LONGEST}")
    if len(step.vocabulary_) > _MOST_WORDS:
        raise Unsupported(f"{type(step).__name__} has more than {_MOST_WORDS} words")
    stop_words = step.get_stop_words()
    return TextInput(
        place=place,
        analyzer=step.analyzer,
        lowercase=bool(step.lowercase),
        strip_accents=step.strip_accents,
        token_pattern=step.token_pattern if step.analyzer == "word" else next(iter(sorted(TOKEN_PATTERNS))),
        shortest=int(step.ngram_range[0]),
        longest=int(step.ngram_range[1]),
        stop_words=None if stop_words is None else sorted(stop_words),
        vocabulary={str(word): int(column) for word, column in step.vocabulary_.items()},
        binary=bool(step.binary),
    )


def _by_frequency(graph: Graph, x: Tensor, step: Any) -> Tensor:
    """Counts weighted by how rare a word is, each row of length one."""
    if step.sublinear_tf:
        raised = graph.with_row("Add", graph.each("Log", x), [1.0])
        x = graph.where(graph.with_row("Greater", x, [0.0]), raised.name, graph.row([0.0]), x.width)
    if step.use_idf:
        x = graph.with_row("Mul", x, np.ravel(step.idf_))
    return x if step.norm is None else normalized(graph, x, step.norm)
