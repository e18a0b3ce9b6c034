"""The process that validates one artifact: gives up what it does not need, verifies, opens, tries, compiles, answers.

Started by `models.validation.validate` as `python -m ai_platform.models.validation.child`, with a `Request` on standard
input. Nothing that opens an artifact is imported before this process is sandboxed.
"""

import gc
import hashlib
import hmac
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.golden import check, record
from ai_platform.models.loading.trust import require_trusted
from ai_platform.models.registry.manifest import COMPILED_FORMAT, MOST_SAMPLE_ROWS, Draft, Manifest
from ai_platform.models.sandbox import audit_hook
from ai_platform.models.sandbox.limits import enter_sandbox
from ai_platform.models.validation.messages import Answer, Compiled, Native, Refused, Request, Verified
from ai_platform.models.validation.sample_rows import GOLDEN_ROWS, in_signature_order, synthetic_row, with_examples
from ai_platform.models.validation.trials import Trial, Tried
from ai_platform.runtimes.base.runtime import Hints, LoadedModel, Rows, Runtime, Value
from ai_platform.runtimes.base.signature import Signature

_ROUNDS = 15
_MEASURED_SECONDS = 0.5
_WARM_ROUNDS = 3


def main() -> None:
    """Validate what standard input asks for; the process ends without running anything that the model registered."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    with os.fdopen(request.answers, "wb", buffering=0) as answers:

        def answer(said: Answer) -> None:
            answers.write(msgspec.json.encode(said) + b"\n")

        sandbox = enter_sandbox(request.limits, Path.cwd(), request.parent)
        tried = audit_hook.watch()
        try:
            _validate(request, sandbox, tried, answer)
        except ArtifactRefused as error:
            # Where something was raised, what was tried before it says more than what the model made of the refusal.
            answer(Refused(tried[0] if tried and error.__cause__ is not None else error.detail))
        except BaseException as error:  # noqa: BLE001  # the model's code may raise anything, SystemExit too
            answer(Refused(tried[0] if tried else error_text(error)))
        sys.stderr.flush()
    os._exit(0)


def _validate(request: Request, sandbox: list[str], tried: list[str], answer: Callable[[Answer], None]) -> None:
    from ai_platform.runtimes.catalogue import FORMATS

    described = request.manifest or request.draft
    assert described is not None
    runtime = FORMATS[described.format]
    with os.fdopen(request.artifact, "rb") as artifact:
        verified = _verified(request, runtime, artifact, sandbox)
        answer(verified)
        loaded, manifest, rows, found = _opened(request, runtime, artifact, verified)
    # A model that swallowed the refusal here would meet none where it serves.
    if tried:
        raise ArtifactRefused(tried[0])
    answer(Native(manifest, seconds_per_row(loaded, rows), peak_bytes(), found.rows, found.non_finite))
    answer(_compiled(request, loaded, manifest, rows))


def _verified(request: Request, runtime: Runtime, artifact: BinaryIO, sandbox: list[str]) -> Verified:
    sha256 = hashlib.file_digest(artifact, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
    if request.manifest is not None and not hmac.compare_digest(sha256, request.manifest.sha256):
        raise ArtifactRefused("the artifact's bytes are not the ones that its manifest describes")
    described = request.manifest or request.draft
    assert described is not None
    artifact.seek(0)
    try:
        untrusted = runtime.untrusted_types(artifact)
    except ValueError as error:
        raise ArtifactRefused(f"the file cannot be published as {described.format}: {error_text(error)}") from error
    require_trusted(described.format, untrusted, signed=request.signed, operator_types=request.operator_types)
    return Verified(sha256, untrusted, sandbox)


def _opened(
    request: Request, runtime: Runtime, artifact: BinaryIO, verified: Verified
) -> tuple[LoadedModel, Manifest, Rows, Tried]:
    if request.manifest is not None:
        loaded = _loaded(runtime, artifact, request.manifest.signature)
        check(loaded, request.manifest)
        rows = request.manifest.golden.rows
        trial = Trial(loaded, request.manifest.format, request.manifest.signature, sampled=True)
        return loaded, request.manifest, rows, trial.run(rows)
    assert request.draft is not None
    signature = _signature(runtime, artifact, request.draft)
    # What reading the signature has built must be gone before it is built again.
    gc.collect()
    loaded = _loaded(runtime, artifact, signature)
    rows = _rows(request.draft, signature)
    trial = Trial(loaded, request.draft.format, signature, sampled=rows != [synthetic_row(signature)])
    found = trial.run(rows)
    shown = rows[: min(GOLDEN_ROWS, found.rows)]
    manifest = Manifest(
        model=request.draft.model,
        format=request.draft.format,
        sha256=verified.sha256,
        size=os.fstat(artifact.fileno()).st_size,
        signature=with_examples(signature, trial.example(rows)),
        libraries={"python": platform.python_version(), **runtime.libraries()},
        metrics=request.draft.metrics,
        golden=record(loaded.predict(shown), shown),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        hard_limit_seconds=request.draft.hard_limit_seconds,
    )
    return loaded, manifest, rows, found


def _loaded(runtime: Runtime, artifact: BinaryIO, signature: Signature) -> LoadedModel:
    artifact.seek(0)
    try:
        return runtime.load(artifact, signature)
    except BaseException as error:
        raise ArtifactRefused(f"the model cannot be loaded: {error_text(error)}") from error


def _signature(runtime: Runtime, artifact: BinaryIO, draft: Draft) -> Signature:
    artifact.seek(0)
    try:
        signature = runtime.read_signature(artifact, Hints(draft.inputs, draft.classes, draft.others))
    except BaseException as error:
        raise ArtifactRefused(f"the model's inputs and outputs cannot be read: {error_text(error)}") from error
    signature = msgspec.structs.replace(signature, extra=draft.extra)
    if not draft.enforce_ranges:
        return signature
    inputs = tuple(
        msgspec.structs.replace(feature, enforced=(feature.minimum, feature.maximum) != (None, None))
        for feature in signature.inputs
    )
    return msgspec.structs.replace(signature, inputs=inputs)


def _rows(draft: Draft, signature: Signature) -> list[list[Value]]:
    rows = in_signature_order(
        draft.inputs or signature.inputs, draft.rows[:MOST_SAMPLE_ROWS], signature, is_text=draft.others is not None
    )
    return rows or [synthetic_row(signature)]


def _compiled(request: Request, loaded: LoadedModel, manifest: Manifest, rows: Rows) -> Compiled:
    """Compile, and write the compiled form to its descriptor; or say why the model serves as it is."""
    if manifest.format == COMPILED_FORMAT:
        return Compiled("it is ONNX already", peak_bytes=peak_bytes())
    estimator = getattr(loaded, "estimator", None)
    if estimator is None:
        return Compiled(f"models of format {manifest.format} are not compiled", peak_bytes=peak_bytes())
    if manifest.size > request.compile_bytes:
        limit = request.compile_bytes // 1_000_000
        return Compiled(f"it is larger than {limit} MB (AI_PLATFORM_MODELS__COMPILE_MAX_MB)", peak_bytes=peak_bytes())
    from ai_platform.runtimes.compiler.compiling import Refusal, compile_to_onnx

    found = compile_to_onnx(estimator, loaded, manifest.signature, rows, largest_bytes=request.compile_bytes)
    if isinstance(found, Refusal):
        return Compiled(found.why, None, found.largest_difference, found.rows_checked, peak_bytes())
    with os.fdopen(request.compiled, "wb") as file:
        file.write(found.content)
    return Compiled(
        None,
        found.compiled_seconds_per_row,
        found.largest_difference,
        found.rows_checked,
        peak_bytes(),
        found.coverage,
    )


def seconds_per_row(model: LoadedModel, rows: Rows) -> float:
    """Median seconds of predicting one row alone, after a few calls that are not counted."""
    row = rows[:1]
    times: list[float] = []
    for _ in range(_WARM_ROUNDS):
        model.predict(row)
    limit = time.perf_counter() + _MEASURED_SECONDS
    while len(times) < _ROUNDS and (not times or time.perf_counter() < limit):
        begun = time.perf_counter()
        model.predict(row)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def peak_bytes() -> int:
    """The largest resident memory that this process has had (VmHWM of `proc_pid_status(5)`)."""
    with Path("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
