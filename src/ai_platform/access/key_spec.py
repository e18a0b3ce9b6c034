"""What a new key is asked to be: the one check of it, for the command line and HTTP alike."""

import math
import re
from typing import Annotated, Any

import msgspec

from ai_platform.access.gcra import FASTEST_ROWS_PER_SECOND, MOST_BURST_ROWS, SLOWEST_ROWS_PER_SECOND
from ai_platform.access.principal import SCOPES
from ai_platform.errors import InputFault, InvalidInput
from ai_platform.models.registry.names import MODEL_NAME

LONGEST_LIFE_SECONDS = 10 * 365 * 86_400
# `$` alone matches before a line end in Python, and `\Z` means nothing in the regular expressions of JSON Schema.
_OWNER = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$(?!\n)"
_MODEL = rf"^{MODEL_NAME.pattern}$(?!\n)"
_SCOPES = {"minItems": 1, "uniqueItems": True}
_Scope = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(SCOPES)})]

# What each field must be; said instead of the value that was sent.
FIELDS = {
    "owner": "must be 1 to 128 characters of a-z, A-Z, 0-9, '.', '_', '@' and '-', beginning with a letter or digit",
    "scopes": f"must be a list of at least one of {', '.join(SCOPES)}, each once",
    "models": "must be a list of 1 to 1000 names of models, or null for all",
    "expires_in": "must be a number of seconds from 1 to ten years, or null for never",
    "rows_per_second": "must be a number from 0.001 to a thousand million, or null",
    "burst_rows": "must be a whole number from 1 to a thousand million, or null",
    "waiting_jobs": "must be a whole number from 1 to a thousand million, or null",
}
_Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_BURST_ROWS)]
_Rate = Annotated[float, msgspec.Meta(ge=SLOWEST_ROWS_PER_SECOND, le=FASTEST_ROWS_PER_SECOND)]


class KeySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made.

    Attributes:
        owner: whose it is: who shares an owner, shares jobs and idempotency keys.
        scopes: what it may do.
        models: the models that it may use; None for all.
        expires_in: seconds that it is valid for; None for ever.
        rows_per_second: its limit; None for the platform's default.
        burst_rows: rows that may come at once; None for one second's worth.
        waiting_jobs: queued jobs that its owner may have through it; None for the platform's default.
    """

    owner: Annotated[str, msgspec.Meta(pattern=_OWNER)]
    scopes: Annotated[list[_Scope], msgspec.Meta(extra_json_schema=_SCOPES)]
    models: (
        Annotated[
            list[Annotated[str, msgspec.Meta(pattern=_MODEL)]],
            msgspec.Meta(min_length=1, max_length=1000),
        ]
        | None
    ) = None
    expires_in: Annotated[float, msgspec.Meta(ge=1, le=LONGEST_LIFE_SECONDS)] | None = None
    rows_per_second: _Rate | None = None
    burst_rows: _Count | None = None
    waiting_jobs: _Count | None = None

    @classmethod
    def of_document(cls, document: Any) -> "KeySpec":
        """Check a document.

        Args:
            document: JSON's types.

        Raises:
            InvalidInput: it is not of that form; each fault by its pointer, without the value.
        """
        if not isinstance(document, dict):
            raise _refused("", "must be an object")
        for name, value in document.items():
            if name not in FIELDS:
                raise _refused(f"/{_shown(name)}", "is not a field of a key")
            if isinstance(value, float) and not math.isfinite(value):  # no comparison with a bound refuses NaN
                raise _refused(f"/{name}", FIELDS[name])
        try:
            spec = msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise _fault_of(error) from None
        if not spec.scopes or len(set(spec.scopes)) != len(spec.scopes) or not set(spec.scopes) <= set(SCOPES):
            raise _refused("/scopes", FIELDS["scopes"])
        return spec


def _fault_of(error: msgspec.ValidationError) -> InvalidInput:
    missing = re.search(r"missing required field `(\w+)`", str(error))
    if missing is not None:
        return _refused(f"/{missing[1]}", "is needed")
    path = re.search(r"at `\$\.?(.*)`$", str(error))
    pointer = "/" + re.sub(r"\[(\d+|\.\.\.)\]", r"/\1", path[1]) if path else ""
    return _refused(pointer, FIELDS.get(pointer.split("/")[1] if pointer else "", "is not of its form"))


def _refused(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput("the key cannot be made as described", [InputFault(pointer, detail)])


def _shown(name: str) -> str:
    return re.sub(r"[^ -}]", "?", name)[:64].replace("~", "~0").replace("/", "~1")
