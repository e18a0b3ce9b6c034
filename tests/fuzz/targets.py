"""What each parser of foreign bytes promises, for any bytes at all: it reads, or refuses with its own error.

Whatever else is raised is a fault, and so is that two readers of the same bytes differ.
"""

import asyncio
import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.server import ServerState

from ai_platform.access import key_text
from ai_platform.access.key_spec import KeySpec
from ai_platform.errors import ArtifactRefused, InvalidInput, InvalidJson, InvalidSettings
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.inputs.strict_json import loads
from ai_platform.inputs.validation import validate
from ai_platform.models.registry import manifest
from ai_platform.predictions.compute import ipc
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.onnx import file
from ai_platform.runtimes.sklearn import pickle_names
from ai_platform.settings import LimitSettings
from api.server.differential.observing import SEEN, Request, decoded
from api.server.differential.servers import our_configuration

LIMITS = LimitSettings(rows=8)
SIGNATURES = [
    Signature(inputs=inputs)
    for inputs in (
        (Feature(name="a"), Feature(name="b")),
        (Feature(name="a", nullable=True), Feature(name="größe")),
        (Feature(name="a", type="string"), Feature(name="b", type="boolean"), Feature(name="c", type="integer")),
    )
]
DECODERS = [(InstanceDecoder(signature, LIMITS), signature) for signature in SIGNATURES]


def decoder(data: bytes) -> None:
    """The quick decoder and the careful one admit the same bodies, and read the same."""
    for quick, signature in DECODERS:
        found = _outcome(lambda quick=quick: quick.decode(data))  # type: ignore[misc]
        expected = _outcome(lambda signature=signature: validate(loads(data), signature, LIMITS))  # type: ignore[misc]
        assert repr(found) == repr(expected), (found, expected)


def _outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except InvalidJson as error:
        return type(error), error.detail
    except InvalidInput as error:
        return type(error), error.faults


def strict_json(data: bytes) -> None:
    """What is read is what the standard library reads, and no key stands in an object twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "a key stands twice"
        return dict(pairs)

    try:
        found = loads(data)
    except InvalidJson:
        return
    assert repr(found) == repr(json.loads(data, object_pairs_hook=once, parse_int=_whole))


def _whole(text: str) -> int | float:
    """What does not fit 64 bits is a float, as far as it goes."""
    number = float(text)
    return int(text) if abs(number) <= 2.0**64 and -(2**63) <= int(text) < 2**64 else number


def key_terms(data: bytes) -> None:
    """A key's text and its description."""
    with contextlib.suppress(InvalidSettings):
        key_text.id_of(data.decode("latin-1"))
    with contextlib.suppress(InvalidJson, InvalidInput):
        terms = KeySpec.of_document(loads(data))
        assert terms.scopes
        assert terms.rows_per_second is None or 0.001 <= terms.rows_per_second <= 1e9


def onnx(data: bytes) -> None:
    """The walk through a file of ONNX."""
    with contextlib.suppress(ValueError):
        file.facts_of(io.BytesIO(data))


def pickled(data: bytes) -> None:
    """The names in a pickle."""
    with contextlib.suppress(ValueError):
        assert pickle_names.named_in(io.BytesIO(data))


def a_manifest(data: bytes) -> None:
    """A manifest; one that is read is the same when it is written and read again."""
    with contextlib.suppress(ArtifactRefused):
        found = manifest.decode(data)
        assert manifest.decode(manifest.encode(found)) == found


def framed(data: bytes) -> None:
    """Frames between processes: cut anywhere, they are the same."""
    whole, pieces = ipc.Frames(), ipc.Frames()
    at = data[0] % max(1, len(data)) if data else 0
    together = list(whole.feed(data))
    apart = [*pieces.feed(data[:at]), *pieces.feed(data[at:])]
    assert [bytes(frame) for frame in together] == [bytes(frame) for frame in apart]
    for frame in together:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            ipc.questions.decode(frame)


class _Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0


class Protocol:
    """The protocol class: whole and cut in two, the same bytes are the same requests, and nothing is raised."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._raised: list[Any] = []
        self._loop.set_exception_handler(lambda _, context: self._raised.append(context))
        self._config = our_configuration(0)
        self._config.load()

    def close(self) -> None:
        """Let the event loop go."""
        self._loop.close()

    def __call__(self, data: bytes) -> None:
        """Read bytes whose first says where they are cut."""
        if len(data) < 3:
            return
        at, data = 1 + data[0] % (len(data) - 2), data[1:]
        whole, cut = self._seen([data]), self._seen([data[:at], data[at:]])
        assert whole == cut, (whole, cut)
        assert self._raised == [], self._raised

    def _seen(self, pieces: list[bytes]) -> list[Request]:
        return self._loop.run_until_complete(self._read(pieces))

    async def _read(self, pieces: list[bytes]) -> list[Request]:
        state, wire = ServerState(), _Wire()
        protocol = self._config.http_protocol_class(config=self._config, server_state=state, app_state={})  # type: ignore[call-arg]
        protocol.connection_made(wire)
        for piece in pieces:
            if not wire.closed:
                protocol.data_received(piece)
            while state.tasks and not wire.closed:
                before = len(wire.written)
                for _ in range(4):
                    await asyncio.sleep(0)
                if len(wire.written) == before:
                    break
        protocol.connection_lost(None)
        for task in state.tasks:
            task.cancel()
        await asyncio.sleep(0)
        return [
            decoded(line[len(SEEN) + 2 :].decode())
            for line in wire.written.split(b"\r\n")
            if line.startswith(b"x-seen: ")
        ]


TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "protocol": Protocol,
    "decoder": lambda: decoder,
    "strict_json": lambda: strict_json,
    "onnx": lambda: onnx,
    "pickle": lambda: pickled,
    "manifest": lambda: a_manifest,
    "frames": lambda: framed,
    "keys": lambda: key_terms,
}
SEEDS: dict[str, list[bytes]] = {
    "decoder": [b'{"features": [1, 2.5]}', b'{"instances": [{"a": 1, "b": 2}]}', b'{"features": ["x", true, null]}'],
    "strict_json": [b'{"a": [1, {"b": "\\u00e4\\""}], "c": null}'],
    "onnx": [b"\x08\x08\x12\x04test:\x10\x0a\x00\x12\x05graph"],
    "pickle": [b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", b"cos\nsystem\n."],
    "manifest": [b'{"model": "iris", "format": "onnx", "sha256": "00", "signature": {"inputs": [{"name": "a"}]}}'],
    "frames": [b"\x00\x00\x00\x02\x91\xa5", ipc.LENGTH.pack(8) + b"\x93\xa4drop\xa1a\x01"],
    "keys": [b'{"owner": "a", "scopes": ["predict"], "rows_per_second": 1}', key_text.new_key_text().encode()],
}
