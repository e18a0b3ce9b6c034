"""Validation: an artifact is verified, opened, tried and compiled in a sandbox before it becomes a version."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.loader import LoaderSettings
from ai_platform.models.loading.signing import verify
from ai_platform.models.registry.manifest import Draft, Manifest, decode
from ai_platform.models.registry.names import MODEL_NAME
from ai_platform.models.sandbox.limits import Limits
from ai_platform.models.sandbox.process import Ending, SandboxProcess
from ai_platform.models.validation.heard import Heard, step, understood, why
from ai_platform.models.validation.messages import Compiled, Native, Request, ValidationReport, Verified
from ai_platform.models.validation.own_rows import require_admitted
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import LimitSettings, ModelSettings, Settings
from ai_platform.telemetry import logger

__all__ = ["Signed", "Validated", "ValidationReport", "Validator"]

log = logger(__name__)

MEGABYTE = 1_000_000
# Of the numeric libraries: rows are tried one at a time, and threads that wait for one another measure the machine.
_THREADS = 1
COMPILED_NAME = "compiled.onnx"

Step = Callable[[str], None]


def _unheard(_step: str) -> None:
    """Nobody asked for steps."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A manifest that came with its artifact.

    Attributes:
        manifest: its exact bytes.
        signature: the line that `models.loading.signing` wrote; empty when nobody signed it.
    """

    manifest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Validated:
    """A validated artifact.

    Attributes:
        manifest: the given one, or the one that was made of a draft.
        sha256: of the artifact, 32 bytes.
        compiled: file of the compiled form in the caller's folder; None when the native form serves.
        report: what was found.
    """

    manifest: Manifest
    sha256: bytes
    compiled: Path | None
    report: ValidationReport


@dataclass(frozen=True, slots=True)
class Validator:
    """Validates artifacts, each in a process of its own.

    Attributes:
        loader: trusted keys and types.
        models: limits of the sandbox, and what becomes of outputs that are not finite.
        limits: of requests.
    """

    loader: LoaderSettings
    models: ModelSettings
    limits: LimitSettings

    @classmethod
    def of(cls, settings: Settings) -> "Validator":
        """Made of the platform's settings."""
        return cls(LoaderSettings.of(settings), settings.models, settings.limits)

    def validate(
        self,
        artifact: Path,
        described: Signed | Draft,
        *,
        is_signed: bool,
        workdir: Path,
        on_step: Step = _unheard,
    ) -> Validated:
        """Verify, open, try and compile an artifact in a child process. Takes seconds; may be called from any thread.

        Args:
            artifact: the model file; read through one descriptor, following no link.
            described: its manifest, or what is said of a model that has none.
            is_signed: whether the caller holds a trusted signing key, and will sign the manifest that is made of a
                draft. It says nothing of a manifest that exists already.
            workdir: an existing folder, which gets the compiled form.
            on_step: told in a few words what was done, each time when something was.

        Raises:
            ArtifactRefused: it must not be published; the sentence says why. The cause may be the artifact's bytes, its
                signer, its types, its libraries, its outputs, or what it did when it was opened.
        """
        begun = time.monotonic()
        manifest, signed = _trusted(described, Path(self.loader.trusted_keys_dir), is_signed=is_signed)
        _refuse_strange(manifest or described)  # type: ignore[arg-type]
        compiled = workdir / COMPILED_NAME
        with _opened(artifact, manifest) as artifact_fd, _created(compiled) as compiled_fd:
            size = os.fstat(artifact_fd).st_size
            request = Request(
                artifact=artifact_fd,
                compiled=compiled_fd,
                parent=os.getpid(),
                limits=_limits(self.models),
                signed=signed,
                operator_types=self.loader.trusted_types,
                compile_bytes=self.models.compile_max_mb * MEGABYTE,
                manifest=manifest,
                draft=described if isinstance(described, Draft) else None,
            )
            verified, native, outcome = _answers(request, self.models.validation_seconds, on_step)
        made = manifest or _made(native.manifest, described, verified, size)
        require_admitted(made, request.draft, self.limits)
        on_step("its own rows are admitted as requests are")
        if self.models.non_finite == "error":
            _require_finite(native)
        if "seccomp" not in verified.sandbox:
            log.warning("validated without a filter of system calls", sandbox=verified.sandbox)
        if outcome.why_native is not None:
            compiled.unlink()
        return Validated(
            made,
            bytes.fromhex(verified.sha256),
            compiled if outcome.why_native is None else None,
            _report(verified, native, outcome, time.monotonic() - begun),
        )


def _made(manifest: Manifest, described: Signed | Draft, verified: Verified, size: int) -> Manifest:
    """The manifest that was made of a draft; what is known here is not taken from the child's word."""
    assert isinstance(described, Draft)
    return msgspec.structs.replace(
        manifest,
        model=described.model,
        format=described.format,
        sha256=verified.sha256,
        size=size,
        metrics=described.metrics,
        hard_limit_seconds=described.hard_limit_seconds,
    )


def _require_finite(native: Native) -> None:
    if native.non_finite_rows:
        raise ArtifactRefused(
            f"{native.non_finite_rows} of {native.rows_tried} rows that were tried have an output that is NaN or"
            " infinite, and AI_PLATFORM_MODELS__NON_FINITE=error makes that an error; leave such rows out of the"
            " sample, or set it to null"
        )


def _trusted(described: Signed | Draft, trusted_keys_dir: Path, *, is_signed: bool) -> tuple[Manifest | None, bool]:
    if isinstance(described, Draft):
        return None, is_signed
    if described.signature:
        verify(described.manifest, described.signature, trusted_keys_dir)
    return decode(described.manifest), bool(described.signature)


def _refuse_strange(described: Manifest | Draft) -> None:
    if not MODEL_NAME.fullmatch(described.model):
        raise ArtifactRefused("a model's name has 1 to 63 of a-z, 0-9, _ and -, and starts with a letter or digit")
    if described.format not in FORMATS:
        raise ArtifactRefused(
            f"format {described.format[:40]!r} is not one that this platform loads; it knows {', '.join(FORMATS)}"
        )


@contextlib.contextmanager
def _opened(artifact: Path, manifest: Manifest | None) -> Iterator[int]:
    try:
        descriptor = os.open(artifact, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ArtifactRefused(f"the artifact cannot be opened: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
            raise ArtifactRefused("the artifact is not a file with content")
        if manifest is not None and manifest.size != found.st_size:
            raise ArtifactRefused(
                "the artifact's bytes are not the ones that its manifest describes: their number differs"
            )
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _created(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _limits(models: ModelSettings) -> Limits:
    return Limits(
        memory_bytes=models.validation_memory_mb * MEGABYTE,
        cpu_seconds=int(2 * models.validation_seconds * (os.cpu_count() or 1)) + 1,
        file_bytes=max(models.compile_max_mb * MEGABYTE * 2, MEGABYTE),
    )


def _answers(request: Request, seconds: float, on_step: Step) -> tuple[Verified, Native, Compiled]:
    """Run a child to its end.

    Compiling has as long again as all before it. When it fails, or takes the child down, the native form has been
    validated already.
    """
    heard = Heard()
    with SandboxProcess(
        "ai_platform.models.validation.child", (request.artifact, request.compiled), threads=_THREADS
    ) as child:
        child.start(msgspec.json.encode(msgspec.structs.replace(request, answers=child.answers_fd)), seconds)
        for line in child.lines():
            said = understood(line)
            if heard.note(said):
                on_step(step(said))
            if heard.is_all:
                break
            if said is not None and said is heard.native:
                child.extend(seconds)
        ending = child.end(finished=heard.is_all)
    if heard.verified is None or heard.native is None:
        _log_output("refused", ending)
        raise ArtifactRefused(why(heard, ending, seconds))
    if heard.compiled is None:
        _log_output("not compiled", ending)
        heard.compiled = Compiled(f"compiling it failed: {why(heard, ending, seconds)}")
    return heard.verified, heard.native, heard.compiled


def _log_output(outcome: str, ending: Ending) -> None:
    """What it wrote; why is the caller's to say, and once is enough."""
    if ending.output.strip():
        log.warning("what the tried model wrote", outcome=outcome, output=ending.output)


def _report(verified: Verified, native: Native, outcome: Compiled, seconds: float) -> ValidationReport:
    return ValidationReport(
        form="native" if outcome.why_native is not None else "compiled",
        why_native=outcome.why_native,
        native_seconds_per_row=native.seconds_per_row,
        compiled_seconds_per_row=outcome.seconds_per_row,
        largest_difference=outcome.largest_difference,
        rows_checked=outcome.rows_checked,
        coverage=outcome.coverage,
        peak_bytes=max(native.peak_bytes, outcome.peak_bytes),
        seconds=round(seconds, 3),
        untrusted_types=verified.untrusted_types,
        sandbox=verified.sandbox,
        rows_tried=native.rows_tried,
        non_finite_rows=native.non_finite_rows,
    )
