"""Which leaves of a model's trees are reached, told by a graph that answers with leaves in place of sums."""

from io import BytesIO
from typing import Any

import msgspec
import numpy as np

from ai_platform.runtimes.base.runtime import Rows
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.compiler.lowering.lower import Lowered
from ai_platform.runtimes.onnx.coding import CodedModel
from ai_platform.runtimes.onnx.model import OnnxRuntime


class LeafCoverage:
    """Counts the leaves that were reached, of all trees of one model. The platform's graph asks what the library does.

    Args:
        found: the model as a graph.
        signature: its inputs.
    """

    def __init__(self, found: Lowered, signature: Signature) -> None:
        self._reached = [np.zeros(count, bool) for count in found.leaf_counts]
        self._model: Any = None
        if found.leaves is not None:
            plain = msgspec.structs.replace(signature, classes=None, class_values=None)
            self._model = OnnxRuntime().load(BytesIO(found.leaves), plain)
            assert isinstance(self._model, CodedModel)

    @property
    def leaves(self) -> int:
        """Leaves of all trees."""
        return sum(len(one) for one in self._reached)

    @property
    def reached(self) -> int:
        """Leaves that some row came to."""
        return sum(int(one.sum()) for one in self._reached)

    def look(self, rows: Rows) -> None:
        """Count the leaves that some rows come to; the model must answer each of them.

        Args:
            rows: shape (n, features).
        """
        if self._model is None or not rows:
            return
        trees = iter(self._reached)
        for table in self._model.answers(rows):
            for column in table.T.astype(np.int64):
                next(trees)[column] = True
