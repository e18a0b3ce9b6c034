"""What an ONNX file holds, read without executing or loading it, and without the `onnx` package.

ONNX Runtime follows external data of a model that is given as bytes to the working directory. So nothing reaches it
that was not walked here first: every tensor of every graph, subgraph, function and attribute. The walk reads the wire
format of protocol buffers (https://protobuf.dev/programming-guides/encoding/) by the numbers of `onnx.proto` 1.23, a
file that no protobuf library would have to accept is refused, and memory does not grow with the file.
"""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

SIGNATURE_KEY = "ai_platform.signature"
"""The entry of a model's metadata that holds the platform's own signature as JSON, in the graphs that it compiles."""

LARGEST_BYTES = 2**31 - 1  # protocol buffers have no larger messages
_DEEPEST = 100  # as deep as protocol buffers are read by default
_MOST_FIELDS = 20_000_000  # some seconds; a forest of 100 deep trees has a few thousand besides its runs

# Message to the fields of it that lead to tensors.
INSIDE: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto",
                       22: "SparseTensorProto", 23: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}  # fmt: skip
_METADATA, _GRAPH = 14, 7
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_NODE_DOMAIN, _FUNCTION_DOMAIN = 7, 10

_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
# A forest's attributes are long runs of unpacked numbers and node modes, which are passed over at the speed of C.
_RUNS = {
    0x3D: re.compile(rb"(?:\x3d.{4})++", re.DOTALL),
    0x40: re.compile(rb"(?:\x40[\x80-\xff]{0,9}+[\x00-\x7f])++", re.DOTALL),
    0x4A: re.compile(rb"(?:\x4a(?:\x04.{4}|\x09.{9}|\x0a.{10}|\x0d.{13}))++", re.DOTALL),
}

Content = bytes | memoryview | mmap.mmap


@dataclass(slots=True)
class OnnxFacts:
    """What the walk found.

    Attributes:
        metadata: key to value, of the model's own metadata.
        domains: of the operators that are used and not defined in the file.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)


def facts_of(artifact: BinaryIO) -> OnnxFacts:
    """Walk a file, which is at its start before and after.

    Raises:
        ValueError: it is no ONNX model, is too large, or holds external data.
    """
    artifact.seek(0, 2)
    size = artifact.tell()
    artifact.seek(0)
    if size > LARGEST_BYTES:
        raise ValueError("the ONNX file is larger than 2 GB, which is more than its format can hold")
    try:
        descriptor = artifact.fileno()
    except OSError:
        content = artifact.read()
        artifact.seek(0)
        return walk(content)
    if size == 0:
        return walk(b"")
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as mapped:
        return walk(mapped)


def walk(content: Content) -> OnnxFacts:
    """Walk a file's bytes.

    Raises:
        ValueError: as `facts_of`.
    """
    walking = _Walk(content)
    walking.message("ModelProto", 0, len(content))
    if not walking.has_graph:
        raise _not_onnx()
    walking.facts.domains -= walking.defined
    return walking.facts


def _not_onnx() -> ValueError:
    return ValueError("it is not an ONNX model, or it is cut short")


class _Walk:
    def __init__(self, content: Content) -> None:
        self.content = content
        self.facts = OnnxFacts()
        self.defined: set[str] = set()
        self.has_graph = False
        self._fields_left = _MOST_FIELDS

    def message(self, kind: str, start: int, end: int) -> None:
        """Walk a message and all that is inside it."""
        waiting = [(kind, start, end, 0)]
        while waiting:
            kind, start, end, depth = waiting.pop()
            if depth > _DEEPEST:
                raise ValueError("the ONNX file is nested deeper than any model")
            inside = INSIDE[kind]
            for number, wire, value, stop in self.fields(start, end):
                if number in inside:
                    if wire != _SIZED:
                        raise _not_onnx()
                    waiting.append((inside[number], value, stop, depth + 1))
                self.note(kind, number, wire, value, stop)

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Field number, wire type, and where the value starts and ends (a run counts as one value)."""
        content, place = self.content, start
        while place < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ValueError("the ONNX file has more parts than any model")
            run = _RUNS.get(content[place])
            found = run.match(content, place, end) if run is not None else None
            if found is not None and found.end() - place > _DEEPEST:
                yield content[place] >> 3, content[place] & 7, place, found.end()
                place = found.end()
                continue
            tag, place = self.varint(place, end)
            value, stop = self.value(tag & 7, place, end)
            if stop > end or tag >> 3 == 0 or tag >= 1 << 32:
                raise _not_onnx()
            yield tag >> 3, tag & 7, value, stop
            place = stop

    def value(self, wire: int, place: int, end: int) -> tuple[int, int]:
        if wire == _VARINT:
            return place, self.varint(place, end)[1]
        if wire == _SIZED:
            size, place = self.varint(place, end)
            return place, place + size
        if wire in {_EIGHT_BYTES, _FOUR_BYTES}:
            return place, place + (8 if wire == _EIGHT_BYTES else 4)
        raise _not_onnx()

    def varint(self, place: int, end: int) -> tuple[int, int]:
        number = 0
        for shift in range(0, 70, 7):
            if place >= end:
                break
            byte = self.content[place]
            place += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004  # the bit that says that more follows
                return number & 0xFFFFFFFFFFFFFFFF, place
        raise _not_onnx()

    def note(self, kind: str, number: int, wire: int, value: int, stop: int) -> None:
        if kind == "TensorProto":
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and self.varint(value, stop)[0]):
                raise ValueError(
                    "the ONNX file keeps data in other files; save it with all its data inside"
                    " (`onnx.save` with `save_as_external_data=False`)"
                )
        elif kind == "NodeProto" and number == _NODE_DOMAIN:
            self.facts.domains.add(self.text(wire, value, stop))
        elif kind == "FunctionProto" and number == _FUNCTION_DOMAIN:
            self.defined.add(self.text(wire, value, stop))
        elif kind == "ModelProto" and number == _METADATA:
            self.metadata(value, stop)
        elif kind == "ModelProto" and number == _GRAPH:
            self.has_graph = True

    def metadata(self, start: int, end: int) -> None:
        entry = {number: self.text(wire, value, stop) for number, wire, value, stop in self.fields(start, end)}
        self.facts.metadata[entry.get(1, "")] = entry.get(2, "")

    def text(self, wire: int, start: int, end: int) -> str:
        if wire != _SIZED:
            raise _not_onnx()
        try:
            return bytes(self.content[start:end]).decode()
        except UnicodeDecodeError:
            raise _not_onnx() from None
