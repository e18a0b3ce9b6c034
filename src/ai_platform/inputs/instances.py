"""What a caller sent, checked and in the order of the signature."""

import msgspec
import orjson

from ai_platform.runtimes.base.runtime import Value


class Instances(msgspec.Struct, frozen=True):
    """Rows that a model's signature admits.

    Attributes:
        rows: shape (n, features), n >= 1; numbers are finite, None where a value is missing.
        single: whether the body was one instance (`features`), so that the answer is one too.
    """

    rows: list[list[Value]]
    single: bool

    def encode(self) -> bytes:
        """Canonical JSON: the same instances give the same bytes, by name or by position, `5` or `5.0`."""
        return orjson.dumps({"rows": self.rows, "single": self.single})

    @classmethod
    def from_stored(cls, stored: dict[str, object]) -> "Instances":
        """The instances of a job's row, which `encode` wrote."""
        return cls(stored["rows"], bool(stored["single"]))  # type: ignore[arg-type]  # written by encode
