"""What an API process and its compute processes say to one another: typed messages in frames, never pickles.

A frame is its length in four bytes, most significant first, and a MessagePack array. Floats are eight bytes in it, so
that a number arrives as the bits that were sent.
"""

import struct

import msgspec

from ai_platform.models.loading.loader import LoaderSettings
from ai_platform.models.registry.versions import Version
from ai_platform.runtimes.base.runtime import Outputs, Value
from ai_platform.settings import Settings

LENGTH = struct.Struct(">I")


class Hello(msgspec.Struct, tag="hello", array_like=True, frozen=True):
    """The first frame: what loading needs, and how to log. There is no password or key among it.

    Attributes:
        loader: whose folder of artifacts the API process has filled.
        log_format: `text` or `json`.
        log_level: events below it are not written.
    """

    loader: LoaderSettings
    log_format: str
    log_level: str

    @classmethod
    def of(cls, settings: Settings) -> "Hello":
        """What a compute process is told of the settings."""
        return cls(LoaderSettings.of(settings), settings.log.format, settings.log.level)


class Load(msgspec.Struct, tag="load", array_like=True, frozen=True):
    """Verify and load a version; answered with `Loaded`."""

    number: int
    version: Version


class Drop(msgspec.Struct, tag="drop", array_like=True, frozen=True):
    """Let a version go; not answered."""

    model: str
    version: int


class Compute(msgspec.Struct, tag="compute", array_like=True, frozen=True):
    """Predict rows of a loaded version; answered with `Computed` or `Failed`."""

    number: int
    model: str
    version: int
    rows: list[list[Value]]


class Ready(msgspec.Struct, tag="ready", array_like=True, frozen=True):
    """The answer to `Hello`."""


class Loaded(msgspec.Struct, tag="loaded", array_like=True, frozen=True):
    """A version was loaded and gave its golden outputs; or why it was not."""

    number: int
    why_not: str | None


class Computed(msgspec.Struct, tag="computed", array_like=True, frozen=True):
    """Outputs, and the seconds in the model."""

    number: int
    seconds: float
    outputs: Outputs


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """The model raised; a sentence for the caller."""

    number: int
    why: str


Question = Hello | Load | Drop | Compute
Answer = Ready | Loaded | Computed | Failed

_encoder = msgspec.msgpack.Encoder()
questions = msgspec.msgpack.Decoder(Question)
answers = msgspec.msgpack.Decoder(Answer)


def frame(message: Question | Answer) -> bytes:
    """A message as it is sent.

    Raises:
        TypeError, ValueError, OverflowError: it holds what has no place in JSON either.
    """
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


class Frames:
    """Puts what arrives in pieces together again."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now."""
        held = self._held
        held += data
        whole, start = [], 0
        while len(held) - start >= LENGTH.size:
            end = start + LENGTH.size + LENGTH.unpack_from(held, start)[0]
            if len(held) < end:
                break
            whole.append(bytes(held[start + LENGTH.size : end]))
            start = end
        del held[:start]
        return whole
