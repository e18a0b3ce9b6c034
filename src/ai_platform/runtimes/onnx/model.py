"""`onnx`: a graph in the open neural network exchange format, run by ONNX Runtime on one thread a call."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ai_platform.runtimes.base.completing import classifier, completed_inputs, numbered, regressor, several_labels
from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel, Outputs, Rows
from ai_platform.runtimes.base.signature import Feature, FeatureType, Signature
from ai_platform.runtimes.onnx.batches import FixedRows, Run, frozen_rows
from ai_platform.runtimes.onnx.classes import class_labels
from ai_platform.runtimes.onnx.coding import CODING_KEY, CodedModel, coding_of
from ai_platform.runtimes.onnx.file import SIGNATURE_KEY, OnnxFacts, facts_of
from ai_platform.runtimes.onnx.linear_form import LINEAR_KEY
from ai_platform.runtimes.onnx.linear_model import linear_model
from ai_platform.runtimes.onnx.outputs import output_form
from ai_platform.runtimes.onnx.reasons import reason

if TYPE_CHECKING:
    import onnxruntime

_KNOWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.preview", "ai.onnx.preview.training"}
)
_TYPES: dict[str, tuple[Any, FeatureType]] = {
    "tensor(double)": (np.float64, "number"), "tensor(float)": (np.float32, "number"),
    "tensor(int64)": (np.int64, "integer"), "tensor(int32)": (np.int32, "integer"),
    "tensor(string)": (np.object_, "string"), "tensor(bool)": (np.bool_, "boolean"),
}  # fmt: skip
# Below it a copy in memory costs nothing; above it the file is read through its descriptor, which saves a whole copy.
_SMALL_BYTES = 16 * 1024 * 1024
# Above it, memory is given back after a session is built; that takes some milliseconds.
_LITTLE_BYTES = 1024 * 1024


class OnnxRuntime:
    """Loads graphs whose data is all inside, with operators that ONNX Runtime has or the file defines.

    Inputs are one tensor of all features, shape (n, features), or several, of one column or more each. Outputs are
    labels, with probabilities as a tensor or as maps, or one tensor of numbers. Where a row has several labels, they
    are its prediction, as a list. A graph that takes a fixed number of rows is called with just as many.
    """

    format = Format(
        name="onnx",
        endings=(".onnx",),
        releases_gil=True,
        computes_in_float32=True,
        advice_together="export it with a dynamic batch dimension, each row computed by itself",
    )

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """None: a graph is data.

        Raises:
            ValueError: it is no ONNX model, or one of those that are never loaded.
        """
        _checked(artifact)
        return []

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """Names and types from the graph's inputs, classes from its classifier.

        A graph with one tensor for all features has no names; they come from the sample, else they are x0, x1 and so
        on. Whether a value may be missing comes from the sample too. A label that the graph does not explain is taken
        for a number from 0, and then the classes must be named.

        Raises:
            ValueError: as `Runtime.read_signature`.
        """
        facts = _checked(artifact)
        if SIGNATURE_KEY in facts.metadata:
            return _own_signature(facts.metadata[SIGNATURE_KEY])
        session = _session(artifact)
        inputs = _inputs(session, hints)
        form = output_form(session)
        # One number a row is no choice between classes, whatever it is called.
        if form.labels is None and (hints.classes is None or form.width == 1):
            return regressor(inputs, hints)
        if form.has_many_labels:
            return several_labels(inputs, hints)
        labels = None if form.labels is None else class_labels(artifact, form.labels)
        artifact.seek(0)
        if labels is not None:
            return classifier(inputs, labels, hints)
        if form.may_have_many and hints.classes is None:
            return several_labels(inputs, hints)
        if hints.classes is None:
            raise ValueError("the graph answers with labels and does not list them; name the classes with --classes")
        return classifier(inputs, range(form.width or len(hints.classes)), hints)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Make a session of it; of a linear graph that the platform compiled, its weights.

        Raises:
            ValueError: it is no ONNX model, keeps data elsewhere, has operators or outputs that are unknown here, or
                other inputs than the signature.
        """
        facts = _checked(artifact)
        session = _session(artifact)
        coding = facts.metadata.get(CODING_KEY)
        model: LoadedModel
        if coding is not None:
            model = CodedModel(session, signature, coding_of(coding))
        else:
            model = OnnxModel(session, signature, trusted=SIGNATURE_KEY in facts.metadata)
        written = facts.metadata.get(LINEAR_KEY)
        return (linear_model(written, signature, model) if written is not None else None) or model

    def libraries(self) -> dict[str, str]:
        """What runs it."""
        return {"onnxruntime": metadata.version("onnxruntime")}


@dataclass(frozen=True, slots=True)
class _Input:
    """One tensor of the graph: its name, its type, and the places in a row of its columns."""

    name: str
    dtype: Any
    places: Sequence[int]
    is_flat: bool


class OnnxModel:
    """A session in service. Any number of threads may predict at once; each call computes on its own thread.

    A missing number is NaN, a missing string is empty.

    Args:
        session: made by this module.
        signature: inputs and classes.
        trusted: whether the platform made the graph, so that what it calls probabilities is known to be.

    Raises:
        ValueError: the graph takes other inputs, or answers with what is neither classes nor numbers.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", signature: Signature, *, trusted: bool) -> None:
        self._run: Run = session.run
        self._inputs = _plan(session, signature.inputs)
        first = self._inputs[0]
        self._is_one_tensor = len(self._inputs) == 1 and not first.is_flat and first.dtype is not np.object_
        self._is_one_tensor &= len(first.places) == len(signature.inputs)
        self._name, self._dtype = first.name, first.dtype
        self._form = output_form(session)
        self._outputs = self._form.names
        fixed = frozen_rows(session)
        if fixed is not None:
            self._run = FixedRows(session.run, fixed)
        self._answer = self._form.reader(signature, trusted=trusted or self._adds_up(signature))
        if fixed is None and not trusted and not self._takes(signature, 2) and self._takes(signature, 1):
            # Its inputs leave the number of rows open, and something inside does not.
            self._run = FixedRows(session.run, 1)

    def predict(self, rows: Rows) -> Outputs:
        """Predict rows, shape (n, features)."""
        if self._is_one_tensor:
            return self._answer(self._run(self._outputs, {self._name: np.array(rows, self._dtype)}))
        return self._answer(self._run(self._outputs, self._tensors(rows)))

    def _tensors(self, rows: Rows) -> dict[str, Any]:
        columns = list(zip(*rows, strict=True))
        return {one.name: _tensor([columns[place] for place in one.places], one) for one in self._inputs}

    def _takes(self, signature: Signature, rows: int) -> bool:
        """Whether so many rows at once get an output each; tried on rows that are made up."""
        try:
            return self.predict([[_any(one) for one in signature.inputs]] * rows).misfit(rows) is None
        except Exception:  # noqa: BLE001  # the library has no class of its own
            return False

    def _adds_up(self, signature: Signature) -> bool:
        """Whether what stands beside the labels are probabilities, and not scores; tried on one row."""
        if signature.classes is None:
            return False
        try:
            found = self._form.scores(
                self._run(self._outputs, self._tensors([[_any(one) for one in signature.inputs]]))
            )
        except Exception:  # noqa: BLE001  # the library has no class of its own; a row that it refuses says nothing
            return True
        return found is not None and bool((found >= 0).all()) and bool(np.allclose(found.sum(axis=1), 1, atol=1e-3))


def _any(feature: Feature) -> float | str | bool:
    """A value that the input might have."""
    if feature.example is not None:
        return feature.example
    if feature.categories:
        return feature.categories[0]
    if feature.minimum is not None:
        return feature.minimum
    return "" if feature.type == "string" else 0


def _tensor(columns: list[Any], one: _Input) -> Any:
    if one.dtype is np.object_:
        columns = [["" if value is None else value for value in column] for column in columns]
    tensor = np.array(columns, one.dtype)
    return tensor[0] if one.is_flat else np.ascontiguousarray(tensor.T)


def _checked(artifact: BinaryIO) -> OnnxFacts:
    facts = facts_of(artifact)
    strange = sorted(facts.domains - _KNOWN_DOMAINS)
    if strange:
        raise ValueError(
            f"the graph has operators of the domain {strange[0][:80]!r}, which ONNX Runtime does not have; export it"
            " without custom operators"
        )
    return facts


def _session(artifact: BinaryIO) -> "onnxruntime.InferenceSession":
    """A session of a checked file, which is at its start afterwards."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # An arena keeps the memory of the largest batch for ever, in each session.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    # Else it would open files of its own format too, which nothing has walked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # Its fallback would print, and try the same again.
        return onnxruntime.InferenceSession(
            _source(artifact), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # the library has no class of its own
        raise ValueError(f"ONNX Runtime does not load it: {reason(str(error)) or type(error).__name__}") from error
    finally:
        if artifact.seek(0, 2) > _LITTLE_BYTES:
            _give_back_memory()
        artifact.seek(0)


def _give_back_memory() -> None:
    """Return what building a session has freed: without, a graph of 66 MB of trees keeps 600 MB, and with it 260."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only
    if trim is not None:
        trim(0)


def _source(artifact: BinaryIO) -> bytes | str:
    size = artifact.seek(0, 2)
    artifact.seek(0)
    if size > _SMALL_BYTES:
        try:
            path = f"/proc/self/fd/{artifact.fileno()}"
            with Path(path).open("rb"):
                return path
        except OSError:  # not a file, or a place where files cannot be opened
            pass
    return artifact.read()


def _own_signature(written: str) -> Signature:
    try:
        return msgspec.json.decode(written, type=Signature)
    except msgspec.MsgspecError:
        raise ValueError("the signature in the graph's metadata cannot be read") from None


def _type(found: Any) -> tuple[Any, FeatureType]:
    if found.type not in _TYPES or len(found.shape) > 2:  # noqa: PLR2004  # rows and columns
        raise ValueError(
            f"the graph's input {found.name[:80]!r} is a {found.type} of {len(found.shape)} dimensions; inputs are"
            " tables of numbers, strings or booleans"
        )
    return _TYPES[found.type]


def _width(found: Any) -> int | None:
    """Columns of an input; None when the graph leaves them open."""
    if len(found.shape) < 2:  # noqa: PLR2004
        return 1
    return found.shape[1] if isinstance(found.shape[1], int) else None


def _inputs(session: "onnxruntime.InferenceSession", hints: Hints) -> tuple[Feature, ...]:
    found = session.get_inputs()
    types = [_type(one)[1] for one in found]
    if len(found) == 1 and _width(found[0]) != 1:
        width = _width(found[0]) or (hints.inputs and len(hints.inputs))
        if not width:
            raise ValueError("the graph does not say how many inputs it takes; give --sample with just its inputs")
        features = [msgspec.structs.replace(one, type=types[0]) for one in numbered(width)]
        return _with_missing(completed_inputs(features, hints, named=False))
    known: list[Feature] = []
    for one, kind in zip(found, types, strict=True):
        width = _width(one)
        if width is None:
            raise ValueError(f"the graph does not say how many columns its input {one.name[:80]!r} has")
        names = [one.name] if width == 1 else [f"{one.name}_{place}" for place in range(width)]
        known.extend(Feature(name=name, type=kind) for name in names)
    names_of_sample = {feature.name for feature in hints.inputs or ()}
    named = hints.inputs is None or all(feature.name in names_of_sample for feature in known)
    return _with_missing(completed_inputs(known, hints, named=named))


def _with_missing(inputs: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """A tensor of whole numbers or truth values has nothing that would stand for a missing one."""
    return tuple(
        msgspec.structs.replace(feature, nullable=feature.nullable and feature.type not in {"integer", "boolean"})
        for feature in inputs
    )


def _plan(session: "onnxruntime.InferenceSession", inputs: tuple[Feature, ...]) -> list[_Input]:
    found = session.get_inputs()
    place_of = {feature.name: place for place, feature in enumerate(inputs)}
    if len(found) == len(inputs) and all(one.name in place_of and _width(one) == 1 for one in found):
        places: list[Sequence[int]] = [[place_of[one.name]] for one in found]
    else:
        places = _in_order([_width(one) for one in found], len(inputs))
    return [
        _Input(one.name, _type(one)[0], where, is_flat=len(one.shape) == 1)
        for one, where in zip(found, places, strict=True)
    ]


def _in_order(widths: list[int | None], count: int) -> list[Sequence[int]]:
    whole = [count if width is None and len(widths) == 1 else width or 0 for width in widths]
    if sum(whole) != count:
        raise ValueError(f"the signature has {count} inputs, and the graph takes {sum(whole)}")
    starts = [sum(whole[:place]) for place in range(len(whole))]
    return [range(start, start + width) for start, width in zip(starts, whole, strict=True)]
