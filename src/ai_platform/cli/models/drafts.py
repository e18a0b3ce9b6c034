"""What the options of `models publish` say of a file."""

from pathlib import Path
from typing import Any, Literal

from ai_platform.errors import InvalidParameter

Extra = Literal["refuse", "ignore"]


def described_by(
    name: str,
    file: Path,
    sample: Path | None,
    *,
    classes: str | None,
    form: str | None,
    metrics: list[str],
    enforce_ranges: bool,
    timeout: float | None,
    extra: Extra | None,
) -> Any:
    """The signed manifest that stands beside the file, or what the options say of it."""
    from ai_platform.models.registry.manifest import Draft, decode
    from ai_platform.runtimes.samples import read
    from ai_platform.training.model_file import ModelFile

    files = ModelFile.beside(file)
    if files.complete and not (sample or classes or form or metrics or enforce_ranges or timeout or extra):
        signed = files.signed()
        described = decode(signed.manifest).model
        if described == name:
            return signed
        raise InvalidParameter("name", f"{files.manifest.name} describes model {described!r}, not {name!r}")
    try:
        found = None if sample is None else read(sample)
    except ValueError as error:
        raise InvalidParameter("sample", str(error)) from None
    return Draft(
        model=name,
        format=form or _format_of(file),
        classes=None if classes is None else tuple(part.strip() for part in classes.split(",")),
        inputs=None if found is None else found.inputs,
        rows=[] if found is None else found.rows,
        metrics=dict(_metric(given) for given in metrics),
        enforce_ranges=enforce_ranges,
        others=None if found is None else found.others,
        extra=extra or "refuse",
        hard_limit_seconds=timeout,
    )


def _format_of(file: Path) -> str:
    from ai_platform.runtimes.catalogue import format_of

    try:
        return format_of(file)
    except ValueError as error:
        raise InvalidParameter("format", str(error)) from None


def _metric(given: str) -> tuple[str, float]:
    name, _, value = given.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InvalidParameter("metric", f"--metric {given!r}: give it as name=number") from None
