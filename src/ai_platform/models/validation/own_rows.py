"""A model's own rows on the way that requests take: what would be refused in service is refused at publishing."""

from collections.abc import Sequence

import orjson

from ai_platform.errors import ArtifactRefused, InvalidInput, PlatformError
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.models.registry.manifest import MOST_SAMPLE_ROWS, Draft, Manifest
from ai_platform.models.validation.sample_rows import in_signature_order, shown
from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Signature
from ai_platform.settings import LimitSettings

_SAMPLE = "sample"


def require_admitted(manifest: Manifest, draft: Draft | None, limits: LimitSettings) -> None:
    """Send the rows that a model was tried with, and the one that documentation shows, through the decoder.

    Args:
        manifest: of the model, which has predicted all of these rows.
        draft: what was said of it, with the sample; None for a signed manifest.
        limits: of requests.

    Raises:
        ArtifactRefused: a row would be refused, or read as other values than the model was tried with; the sentence
            names row, column and rule.
    """
    signature = manifest.signature
    decoder = InstanceDecoder(signature, limits)
    _Rows(_SAMPLE, _sample(draft, signature), signature, limits).require_admitted(decoder)
    _Rows("golden rows", manifest.golden.rows, signature, limits).require_admitted(decoder)
    _Rows("example", [shown(signature)], signature, limits).require_admitted(decoder)


def _sample(draft: Draft | None, signature: Signature) -> list[list[Value]]:
    if draft is None or not draft.rows:
        return []
    rows = draft.rows[:MOST_SAMPLE_ROWS]
    return in_signature_order(draft.inputs or signature.inputs, rows, signature, is_text=draft.others is not None)


class _Rows:
    """Rows of one source, sent by position and by name."""

    def __init__(self, source: str, rows: list[list[Value]], signature: Signature, limits: LimitSettings) -> None:
        self._source, self._rows, self._limits = source, rows, limits
        self._names = [feature.name for feature in signature.inputs]

    def require_admitted(self, decoder: InstanceDecoder) -> None:
        for start in range(0, len(self._rows), self._limits.rows):
            rows = self._rows[start : start + self._limits.rows]
            self._require(decoder, rows, rows, start)
            self._require(decoder, rows, [dict(zip(self._names, row, strict=True)) for row in rows], start)
        largest = max((len(orjson.dumps({"features": row})) for row in self._rows), default=0)
        if largest > self._limits.body_bytes:
            raise ArtifactRefused(
                f"a row of the {self._source} has {largest} bytes, and a request may have {self._limits.body_bytes};"
                " raise AI_PLATFORM_LIMITS__BODY_BYTES for all processes"
            )

    def _require(self, decoder: InstanceDecoder, rows: list[list[Value]], sent: Sequence[object], start: int) -> None:
        try:
            read = decoder.decode(orjson.dumps({"instances": sent})).rows
        except InvalidInput as error:
            raise ArtifactRefused(self._refusal(error, rows, start)) from error
        except PlatformError as error:
            raise ArtifactRefused(f"the {self._source} cannot be sent in a request: {error.detail}") from error
        for place, (tried, found) in enumerate(zip(rows, read, strict=True)):
            for name, ours, theirs in zip(self._names, tried, found, strict=True):
                if ours != theirs:
                    raise ArtifactRefused(
                        f"row {start + place + 1} of the {self._source}, column {name!r}, would reach the model as"
                        " another value in a request; write the column as the model takes it"
                    )

    def _refusal(self, error: InvalidInput, rows: list[list[Value]], start: int) -> str:
        place, column = self._place_of(error)
        where, why = f"row {start + place + 1} of the {self._source}", error.faults[0].detail
        if column is None:
            return f"{where} would be refused in a request: {why}"
        advice = self._advice(rows[place][column])
        return f"{where}, column {self._names[column][:80]!r}, would be refused in a request: {why}{advice}"

    def _place_of(self, error: InvalidInput) -> tuple[int, int | None]:
        """Row and column that the first fault's pointer (`/instances/3/1`) names."""
        parts = [*error.faults[0].pointer.split("/")[2:], "", ""]
        row, column = (int(part) if part.isdigit() else None for part in parts[:2])
        return row or 0, column if column is not None and column < len(self._names) else None

    def _advice(self, value: Value) -> str:
        leave_out = "; leave such rows out of the sample" if self._source == _SAMPLE else ""
        if isinstance(value, str) and len(value.encode("utf-8", "replace")) > self._limits.string_bytes:
            return f"{leave_out or ';'} or raise AI_PLATFORM_LIMITS__STRING_BYTES for all processes"
        return leave_out
