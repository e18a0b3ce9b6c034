"""ONNX files that are never loaded, and the walk that finds out without loading them."""

import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.onnx.file import INSIDE, facts_of, walk
from ai_platform.runtimes.onnx.model import OnnxRuntime

pytestmark = pytest.mark.quick

TWO = Signature(inputs=(Feature(name="a"), Feature(name="b")))
ELSEWHERE = "keeps data in other files"


def outside(name: str = "w", location: str = "data.bin") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def model(nodes: list[Any], constants: list[TensorProto], **more: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more)


def product(constants: list[TensorProto], **more: Any) -> onnx.ModelProto:
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], constants, **more)


def plain() -> onnx.ModelProto:
    return product([numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")])


def as_constant() -> onnx.ModelProto:
    return model([helper.make_node("Constant", [], ["w"], value=outside()), plain().graph.node[0]], [])


def in_a_branch() -> onnx.ModelProto:
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("w", 1, [2, 2])], [outside()])
    return model([helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], [])


def in_a_function() -> onnx.ModelProto:
    made = helper.make_function("own", "f", ["x"], ["y"], list(as_constant().graph.node), [helper.make_opsetid("", 17)])
    return model([helper.make_node("f", ["x"], ["y"], domain="own")], [], functions=[made])


def in_a_sparse_tensor() -> onnx.ModelProto:
    found = plain()
    found.graph.sparse_initializer.add(values=outside("v"), indices=numpy_helper.from_array(np.array([0]), "i"))
    return found


def in_a_list() -> onnx.ModelProto:
    found = plain()
    found.graph.node[0].attribute.add(name="many", type=onnx.AttributeProto.TENSORS, tensors=[outside()])
    return found


def in_training() -> onnx.ModelProto:
    found = plain()
    found.training_info.add().initialization.initializer.append(outside())
    return found


def with_entries_only() -> onnx.ModelProto:
    found = product([outside()])
    found.graph.initializer[0].ClearField("data_location")
    return found


def with_location_only() -> onnx.ModelProto:
    found = product([outside()])
    found.graph.initializer[0].ClearField("external_data")
    return found


PLACES = [
    lambda: product([outside()]), as_constant, in_a_branch, in_a_function, in_a_sparse_tensor, in_a_list, in_training,
    with_entries_only, with_location_only, lambda: product([outside(location="/etc/passwd")]),
]  # fmt: skip


@pytest.mark.parametrize("build", PLACES)
def test_external_data_is_refused_wherever_it_stands(build: Callable[[], onnx.ModelProto]) -> None:
    content = build().SerializeToString()
    runtime = OnnxRuntime()
    with pytest.raises(ValueError, match=ELSEWHERE):
        runtime.untrusted_types(io.BytesIO(content))
    with pytest.raises(ValueError, match=ELSEWHERE):
        runtime.read_signature(io.BytesIO(content), Hints())
    with pytest.raises(ValueError, match=ELSEWHERE):
        runtime.load(io.BytesIO(content), TWO)


def test_external_data_that_exists_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.bin").write_bytes(np.eye(2, dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(product([outside()]).SerializeToString())
    with path.open("rb") as artifact, pytest.raises(ValueError, match=ELSEWHERE):
        OnnxRuntime().load(artifact, TWO)


def test_the_walk_knows_every_way_of_the_format_to_a_tensor() -> None:
    assert dict(ways(onnx.ModelProto.DESCRIPTOR, {})) == INSIDE


def ways(message: Any, seen: dict[str, bool]) -> Iterator[tuple[str, dict[int, str]]]:
    """Messages that lead to tensors, each with the fields that do."""
    waiting, found = [message], {}
    while waiting:
        message = waiting.pop()
        if message.name not in found:
            fields = {one.number: one.message_type for one in message.fields if one.message_type is not None}
            found[message.name] = fields
            waiting.extend(fields.values())
    leading = {"TensorProto"}
    while True:
        more = {name for name, fields in found.items() if leading & {one.name for one in fields.values()}} | leading
        if more == leading:
            break
        leading = more
    # A type may hold a tensor only as a value of its own, and has none in a file.
    for name in leading:
        yield name, {number: one.name for number, one in found[name].items() if one.name in leading}


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 64, b"this is no model", b"\x08\x08", os.urandom(999)])
def test_what_is_no_onnx_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not an ONNX model"):
        OnnxRuntime().untrusted_types(io.BytesIO(content))


def test_a_file_cut_short_anywhere_is_refused() -> None:
    content = plain().SerializeToString()
    for size in range(len(content)):
        with pytest.raises(ValueError, match=r"ONNX"):
            OnnxRuntime().load(io.BytesIO(content[:size]), TWO)


def test_a_damaged_file_is_refused_or_computes() -> None:
    content, chance = plain().SerializeToString(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] = chance.randrange(256)
        try:
            loaded = OnnxRuntime().load(io.BytesIO(bytes(damaged)), TWO)
        except ValueError:
            continue
        assert len(loaded.predict([[1.0, 2.0]]).predictions) == 1


def test_the_other_format_of_onnx_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="not an ONNX model"):
        OnnxRuntime().load(io.BytesIO(b"\x1c\x00\x00\x00ORTM" + bytes(200)), TWO)


def test_operators_of_a_domain_that_nobody_has_are_refused_by_its_name() -> None:
    found = model([helper.make_node("Magic", ["x"], ["y"], domain="acme")], [])
    found.opset_import.add(domain="acme", version=1)
    with pytest.raises(ValueError, match="operators of the domain 'acme'"):
        OnnxRuntime().untrusted_types(io.BytesIO(found.SerializeToString()))


def test_an_operator_that_does_not_exist_is_refused_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    found = model([helper.make_node("Magic", ["x"], ["y"])], [])
    with pytest.raises(ValueError, match=r"ONNX Runtime does not load it"):
        OnnxRuntime().load(io.BytesIO(found.SerializeToString()), TWO)
    assert capfd.readouterr() == ("", "")


def test_functions_that_the_file_defines_itself_are_computed() -> None:
    made = helper.make_function(
        "own", "f", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    found = model([helper.make_node("f", ["x"], ["y"], domain="own")], [], functions=[made])
    found.opset_import.add(domain="own", version=1)
    loaded = OnnxRuntime().load(io.BytesIO(found.SerializeToString()), TWO)
    found_numbers: Any = loaded.predict([[1.0, 2.0]]).predictions
    assert found_numbers == [[2.0, 4.0]]


def test_outputs_that_are_neither_classes_nor_numbers_are_refused() -> None:
    found = plain()
    found.graph.output[0].type.tensor_type.shape.dim.add(dim_value=3)
    found.graph.node[0].CopyFrom(helper.make_node("Unsqueeze", ["x", "axes"], ["y"]))
    found.graph.initializer.append(numpy_helper.from_array(np.array([2]), "axes"))
    with pytest.raises(ValueError, match="the graph's outputs are y"):
        OnnxRuntime().load(io.BytesIO(found.SerializeToString()), TWO)


def test_a_graph_that_does_not_say_how_many_inputs_it_takes_wants_a_sample() -> None:
    found = model([helper.make_node("Identity", ["x"], ["y"])], [])
    found.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "features"
    with pytest.raises(ValueError, match="--sample"):
        OnnxRuntime().read_signature(io.BytesIO(found.SerializeToString()), Hints())


def test_labels_that_the_graph_does_not_list_want_names() -> None:
    found = model([helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)], [])
    found.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, ["n"]))
    content = found.SerializeToString()
    with pytest.raises(ValueError, match="--classes"):
        OnnxRuntime().read_signature(io.BytesIO(content), Hints())
    signature = OnnxRuntime().read_signature(io.BytesIO(content), Hints(classes=("left", "right")))
    outputs = OnnxRuntime().load(io.BytesIO(content), signature).predict([[0.0, 1.0], [2.0, 1.0]])
    assert (outputs.predictions, outputs.class_numbers, outputs.probabilities) == ([1, 0], [1, 0], None)


def test_a_large_file_is_read_through_its_descriptor(tmp_path: Path) -> None:
    found = plain()
    found.graph.initializer.append(numpy_helper.from_array(np.zeros(5_000_000, dtype=np.float32), "unused"))
    path = tmp_path / "model.onnx"
    path.write_bytes(found.SerializeToString())
    with path.open("rb") as artifact:
        path.unlink()
        assert facts_of(artifact).domains == set()
        loaded = OnnxRuntime().load(artifact, TWO)
    found_numbers: Any = loaded.predict([[1.0, 2.0]]).predictions
    assert found_numbers == [[1.0, 2.0]]


def test_a_nest_deeper_than_any_model_is_refused() -> None:
    graph = b""
    for _ in range(200):
        attribute = b"\x32" + size_of(graph) + graph
        node = b"\x2a" + size_of(attribute) + attribute
        graph = b"\x0a" + size_of(node) + node
    with pytest.raises(ValueError, match="deeper"):
        walk(b"\x3a" + size_of(graph) + graph)


def size_of(content: bytes) -> bytes:
    size, written = len(content), b""
    while size > 127:
        written, size = written + bytes([size & 127 | 128]), size >> 7
    return written + bytes([size])
