"""Models, versions and aliases as callers see them, over HTTP and with `--json` alike."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from ai_platform.models.registry.aliases import Alias, Target
from ai_platform.models.registry.manifest import decode
from ai_platform.models.registry.serving_reports import Served
from ai_platform.models.registry.versions import ModelRecord, Version
from ai_platform.runtimes.base.signature import Feature

Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class TargetView(msgspec.Struct, frozen=True):
    """One version behind an alias, with its share."""

    version: int
    weight: int


class AliasView(msgspec.Struct, frozen=True, kw_only=True):
    """An alias: what it names, what it named before, who changed it."""

    name: str
    targets: list[TargetView]
    previous: list[TargetView]
    updated_at: Moment
    updated_by: str


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its name, its number of versions, and what its aliases name."""

    name: str
    created_at: Moment
    versions: int
    latest: int | None
    aliases: list[AliasView]


class ServingView(msgspec.Struct, frozen=True, kw_only=True):
    """How one version does in the processes that run now: their numbers, and the first trouble with its next try."""

    loaded: int
    loading: int
    failed: int
    failed_calls: int
    why: str | None
    next_try_at: Moment | None


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version: what it is, which aliases name it, in which form it is served and why; `size` in bytes."""

    model: str
    version: int
    format: str
    form: str
    why_native: str | None
    sha256: str
    size: int
    metrics: dict[str, float]
    aliases: list[str]
    serving: ServingView
    created_at: Moment
    created_by: str


class VersionDetail(VersionView, frozen=True, kw_only=True):
    """A version with its signature, its libraries, the validation report and the signed manifest."""

    inputs: tuple[Feature, ...]
    ignored: tuple[str, ...]
    extra: str
    classes: tuple[str, ...] | None
    libraries: dict[str, str]
    validation: dict[str, Any]
    signed: bool
    manifest: str
    manifest_signature: str


def model_view(record: ModelRecord, aliases: Iterable[Alias]) -> ModelView:
    """A model as callers see it.

    Args:
        record: the model.
        aliases: those of all models.
    """
    return ModelView(
        name=record.name,
        created_at=record.created_at.isoformat(),
        versions=record.versions,
        latest=record.latest,
        aliases=[alias_view(alias) for alias in aliases if alias.model == record.name],
    )


def alias_view(alias: Alias) -> AliasView:
    """An alias as callers see it."""
    return AliasView(
        name=alias.name,
        targets=_targets(alias.targets),
        previous=_targets(alias.previous),
        updated_at=alias.updated_at.isoformat(),
        updated_by=alias.updated_by,
    )


def version_view(version: Version, aliases: Iterable[Alias], served: Iterable[Served] = ()) -> VersionView:
    """A version as callers see it.

    Args:
        version: the version.
        aliases: its model's aliases.
        served: what the processes that run say of its model's versions.
    """
    return VersionView(**_fields(version, aliases, served))


def version_detail(version: Version, aliases: Iterable[Alias], served: Iterable[Served] = ()) -> VersionDetail:
    """The same with all that is known of it."""
    manifest = decode(version.manifest)
    return VersionDetail(
        **_fields(version, aliases, served),
        inputs=manifest.signature.inputs,
        ignored=manifest.signature.ignored,
        extra=manifest.signature.extra,
        classes=manifest.signature.classes,
        libraries=manifest.libraries,
        validation=version.validation,
        signed=bool(version.manifest_signature),
        manifest=version.manifest.decode(),
        manifest_signature=version.manifest_signature.decode(),
    )


def _fields(version: Version, aliases: Iterable[Alias], served: Iterable[Served]) -> dict[str, Any]:
    manifest = decode(version.manifest)
    return {
        "model": version.model,
        "version": version.version,
        "format": version.format,
        "form": "native" if version.compiled_sha256 is None else "compiled",
        "why_native": version.validation.get("why_native"),
        "sha256": version.sha256.hex(),
        "size": manifest.size,
        "metrics": manifest.metrics,
        "aliases": [
            alias.name
            for alias in aliases
            if alias.model == version.model and version.version in {target.version for target in alias.targets}
        ],
        "serving": _serving([one for one in served if one.version == version.version]),
        "created_at": version.created_at.isoformat(),
        "created_by": version.created_by,
    }


def _serving(served: list[Served]) -> ServingView:
    troubled = [one for one in served if one.state == "failed" or one.failed_calls]
    return ServingView(
        loaded=sum(one.state == "loaded" for one in served),
        loading=sum(one.state == "loading" for one in served),
        failed=sum(one.state == "failed" for one in served),
        failed_calls=sum(one.failed_calls for one in served),
        why=next((one.why for one in sorted(troubled, key=lambda one: one.state != "failed") if one.why), None),
        next_try_at=min((one.next_try_at.isoformat() for one in troubled if one.next_try_at), default=None),
    )


def _targets(targets: tuple[Target, ...]) -> list[TargetView]:
    return [TargetView(target.version, target.weight) for target in targets]
