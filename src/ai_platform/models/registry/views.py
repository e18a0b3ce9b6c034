"""Models, versions and aliases as callers see them, over HTTP and with `--json` alike."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ai_platform.models.registry.aliases import Alias, Target
from ai_platform.models.registry.manifest import decode
from ai_platform.models.registry.serving_reports import Served
from ai_platform.models.registry.versions import ModelRecord, Version


def model_body(record: ModelRecord, aliases: Iterable[Alias]) -> dict[str, Any]:
    """A model: its name, its number of versions, and what its aliases name."""
    return {
        "name": record.name,
        "created_at": record.created_at.isoformat(),
        "versions": record.versions,
        "latest": record.latest,
        "aliases": [alias_body(alias) for alias in aliases if alias.model == record.name],
    }


def alias_body(alias: Alias) -> dict[str, Any]:
    """An alias: what it names, what it named before, who changed it."""
    return {
        "name": alias.name,
        "targets": _targets(alias.targets),
        "previous": _targets(alias.previous),
        "updated_at": alias.updated_at.isoformat(),
        "updated_by": alias.updated_by,
    }


def version_body(
    version: Version, aliases: Iterable[Alias], served: Iterable[Served] = (), *, whole: bool = False
) -> dict[str, Any]:
    """A version: what it is, which aliases name it, in which form it is served and why.

    Args:
        version: the version.
        aliases: its model's aliases.
        served: what the processes that run say of its model's versions.
        whole: whether the signature, the libraries and the signed manifest come too.
    """
    manifest = decode(version.manifest)
    body: dict[str, Any] = {
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
        "serving": serving_body(one for one in served if one.version == version.version),
        "created_at": version.created_at.isoformat(),
        "created_by": version.created_by,
    }
    if whole:
        body |= {
            "inputs": msgspec.to_builtins(manifest.signature.inputs),
            "ignored": manifest.signature.ignored,
            "extra": manifest.signature.extra,
            "classes": manifest.signature.classes,
            "libraries": manifest.libraries,
            "validation": version.validation,
            "signed": bool(version.manifest_signature),
            "manifest": version.manifest.decode(),
            "manifest_signature": version.manifest_signature.decode(),
        }
    return body


def serving_body(served: Iterable[Served]) -> dict[str, Any]:
    """How one version does in the processes that run now.

    Args:
        served: what each of them says of it.
    """
    known = list(served)
    troubled = [one for one in known if one.state == "failed" or one.failed_calls]
    return {
        "loaded": sum(one.state == "loaded" for one in known),
        "loading": sum(one.state == "loading" for one in known),
        "failed": sum(one.state == "failed" for one in known),
        "failed_calls": sum(one.failed_calls for one in known),
        "why": next((one.why for one in sorted(troubled, key=lambda one: one.state != "failed") if one.why), None),
        "next_try_at": min((one.next_try_at.isoformat() for one in troubled if one.next_try_at), default=None),
    }


def _targets(targets: tuple[Target, ...]) -> list[dict[str, int]]:
    return [{"version": target.version, "weight": target.weight} for target in targets]
