"""Whether an artifact may be opened: signed by a trusted key, or of plain data and types that the operator trusts."""

import json
from collections.abc import Collection

from ai_platform.errors import ArtifactRefused
from ai_platform.runtimes.catalogue import FORMATS

_SHOWN = 50


def require_trusted(
    format_name: str, untrusted: Collection[str], *, signed: bool, operator_types: Collection[str]
) -> None:
    """Refuse what nobody who is trusted has signed, unless opening it executes nothing of its own choice.

    Args:
        format_name: a key of `runtimes.catalogue.FORMATS`.
        untrusted: what the runtime found in these very bytes (`Runtime.untrusted_types`).
        signed: whether a trusted key has signed the manifest of these bytes, or is about to.
        operator_types: types that the operator trusts (`models.skops_trusted_types`).

    Raises:
        ArtifactRefused: it may not be opened.
    """
    if signed or not untrusted:
        return
    if not FORMATS[format_name].format.judged_by_type:
        raise ArtifactRefused(
            f"a model of format {format_name} runs code when it is opened, and no trusted key has signed this one;"
            " publish it where a signing key is, or as ONNX"
        )
    strange = sorted(set(untrusted) - set(operator_types))
    if strange:
        trusted = json.dumps(sorted({*strange, *operator_types}))
        raise ArtifactRefused(
            f"the skops file holds types that are not trusted here: {', '.join(strange[:_SHOWN])}; it needs the"
            f" signature of a trusted key, or AI_PLATFORM_MODELS__SKOPS_TRUSTED_TYPES='{trusted}' for all processes"
        )
