"""What is signed of a version: its bytes' hash, its signature, and what it was trained with."""

from typing import Any, Literal

import msgspec

from ai_platform.errors import ArtifactRefused
from ai_platform.runtimes.base.runtime import OtherReadings, Value
from ai_platform.runtimes.base.signature import Feature, Signature

# Rows of a sample that a draft carries; more show nothing new of a model.
MOST_SAMPLE_ROWS = 200
# The longest time limit that a version may have, in seconds: a day.
MOST_LIMIT_SECONDS = 86_400.0
# What compiling writes; a format of plain data, which executes nothing.
COMPILED_FORMAT = "onnx"


class Golden(msgspec.Struct, frozen=True):
    """Inputs with the outputs that they gave where the model was trained.

    Attributes:
        rows: shape (n, features).
        predictions: n values; of a model with several outputs, n lists of values. JSON has null for what is not finite.
        probabilities: shape (n, classes), or None.
    """

    rows: list[list[Value]]
    predictions: list[Any]
    probabilities: list[list[float | None]] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest beside an artifact. Its bytes are what is signed, so they are kept as they were written.

    Attributes:
        model: name under which it is published.
        format: a key of `runtimes.catalogue.FORMATS`.
        sha256: of the artifact, 64 hexadecimal digits.
        size: of the artifact, in bytes.
        signature: inputs and outputs.
        libraries: name to version, of what the artifact needs to load.
        metrics: name to value (`cv_accuracy`).
        golden: inputs and outputs to check a loaded model by.
        created_at: RFC 3339.
        hard_limit_seconds: longest run of one attempt of a job; None for the platform's own limit.
    """

    model: str
    format: str
    sha256: str
    size: int
    signature: Signature
    libraries: dict[str, str]
    metrics: dict[str, float]
    golden: Golden
    created_at: str
    hard_limit_seconds: float | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher says of a model that has no manifest yet; validation makes the manifest.

    Attributes:
        model: name under which it is to be published.
        format: a key of `runtimes.catalogue.FORMATS`.
        classes: the classes' names, in the order of the model's own classes; None when it names them itself.
        inputs: features read from a sample, in the order of its columns; None without a sample.
        rows: rows of that sample, shape (n, len(inputs)), n at most `MOST_SAMPLE_ROWS`; may be empty.
        metrics: name to value.
        hard_limit_seconds: longest run of one attempt of a job; None for the platform's own limit.
        enforce_ranges: whether values outside the sample's ranges are to be refused.
        others: where the sample's cells are text, each column's other readings, aligned with `inputs`; then `rows` are
            text too, and typed by what the model expects.
        extra: what becomes of names that neither the model nor its sample has.
    """

    model: str
    format: str
    classes: tuple[str, ...] | None = None
    inputs: tuple[Feature, ...] | None = None
    rows: list[list[Value]] = []
    metrics: dict[str, float] = {}
    hard_limit_seconds: float | None = None
    enforce_ranges: bool = False
    others: tuple[OtherReadings, ...] | None = None
    extra: Literal["refuse", "ignore"] = "refuse"


def limit_name(manifest: Manifest) -> str:
    """What sets the time limit of a version's calls and jobs, for the one who meets it."""
    if manifest.hard_limit_seconds is not None:
        return "the version's own limit, set with --timeout when it was published"
    return "AI_PLATFORM_JOBS__HARD_LIMIT_SECONDS"


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON, for people to read beside the file."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(manifest: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ArtifactRefused: it is not one.
    """
    try:
        return msgspec.json.decode(manifest, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactRefused("the manifest is not readable as one of this platform's") from error
