"""What the parent asks of the sandbox process, and what the child answers, line by line, as JSON."""

from typing import Literal

import msgspec

from ai_platform.models.registry.manifest import Draft, Manifest
from ai_platform.models.sandbox.limits import Limits


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What validation found; kept beside the version.

    Attributes:
        form: which form is served.
        why_native: one sentence about why the native form is; None for a compiled one.
        native_seconds_per_row: median time of one row in the native form.
        compiled_seconds_per_row: the same of the compiled form; None without one.
        largest_difference: largest difference of a probability or a prediction between the two; None without one.
        rows_checked: how many rows were compared.
        coverage: what of the model these rows reached, for people: classes and leaves of trees; empty without a graph.
        peak_bytes: largest resident memory of the child, the libraries included.
        seconds: how long validation took.
        rows_tried: rows that were predicted together, beside some of them alone; of a small sample, repeated.
        non_finite_rows: those among them with an output that is NaN or infinite.
        untrusted_types: what opening the artifact executes or makes by its own choice.
        sandbox: what the child was held by: `limits`, and `seccomp` and `landlock` where the kernel has them.
    """

    form: Literal["compiled", "native"]
    why_native: str | None = None
    native_seconds_per_row: float
    compiled_seconds_per_row: float | None = None
    largest_difference: float | None = None
    rows_checked: int = 0
    coverage: str = ""
    peak_bytes: int
    seconds: float
    untrusted_types: list[str]
    sandbox: list[str]
    rows_tried: int = 0
    non_finite_rows: int = 0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to validate.

    Attributes:
        artifact: descriptor of the artifact.
        compiled: descriptor to write the compiled form to.
        answers: descriptor to write answers to.
        parent: process id of who asks.
        limits: of this process.
        signed: whether a trusted key has signed the artifact's manifest, or is about to.
        operator_types: types of skops files that the operator trusts.
        compile_bytes: largest artifact that is compiled.
        manifest: of the artifact; None when it has none.
        draft: what is said of a model that has no manifest.
    """

    artifact: int
    compiled: int
    answers: int = -1
    parent: int
    limits: Limits
    signed: bool
    operator_types: list[str]
    compile_bytes: int
    manifest: Manifest | None = None
    draft: Draft | None = None


class Verified(msgspec.Struct, frozen=True, tag=True):
    """Said before the artifact is opened, so that nothing it does can change it.

    Attributes:
        sha256: of all its bytes, 64 hexadecimal digits.
        untrusted_types: what opening it would execute or make.
        sandbox: what holds this process.
    """

    sha256: str
    untrusted_types: list[str]
    sandbox: list[str]


class Native(msgspec.Struct, frozen=True, tag=True):
    """The artifact loads and predicts.

    Attributes:
        manifest: the one that was given, or the one that was made of the draft.
        seconds_per_row: median.
        peak_bytes: largest resident memory so far.
        rows_tried: rows that were predicted together, beside some of them alone.
        non_finite_rows: those among them with an output that is NaN or infinite.
    """

    manifest: Manifest
    seconds_per_row: float
    peak_bytes: int
    rows_tried: int
    non_finite_rows: int


class Compiled(msgspec.Struct, frozen=True, tag=True):
    """What came of compiling; a sentence in `why_native` when nothing did."""

    why_native: str | None
    seconds_per_row: float | None = None
    largest_difference: float | None = None
    rows_checked: int = 0
    peak_bytes: int = 0
    coverage: str = ""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Why not, in one sentence."""

    why: str


Answer = Verified | Native | Compiled | Refused
