"""What a case of the runtimes' conformance suite is. Modules `cases_*.py` beside this one each have a list CASES."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ai_platform.runtimes.base.runtime import Hints, Value
from ai_platform.runtimes.base.signature import Signature


@dataclass(frozen=True)
class Expected:
    """A model file, rows to ask it about, and what the library itself answers for them.

    Attributes:
        artifact: the file's bytes.
        rows: in the order of the inputs; None where a value is missing.
        predictions: of the library's own `predict`.
        probabilities: of the library's own `predict_proba`, or None.
        classes: what the model predicts, in the order of the probabilities; None for anything but a classifier.
    """

    artifact: bytes
    rows: list[list[Value]]
    predictions: list[Any]
    probabilities: list[list[float]] | None = None
    classes: list[Any] | None = None


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        name: what is particular about it.
        format: a key of FORMATS.
        build: makes the model; called once, when a test first needs it.
        hints: what its publisher says.
        signature: what must be read of it; None to check only that something fitting is.
    """

    name: str
    format: str
    build: Callable[[], Expected]
    hints: Hints = field(default_factory=Hints)
    signature: Signature | None = None

    def __str__(self) -> str:
        return f"{self.format}: {self.name}"

    @cached_property
    def expected(self) -> Expected:
        return self.build()
