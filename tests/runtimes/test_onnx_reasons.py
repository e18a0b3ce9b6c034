"""ONNX Runtime's reasons: whole, and without places in its source code."""

import io
from typing import Any

import pytest
from onnx import TensorProto, helper

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.onnx.reasons import reason

pytestmark = pytest.mark.quick

FAIL = "[ONNXRuntimeError] : 1 : FAIL : "
LOWER = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_XX")
SAME = helper.make_node("Identity", ["x"], ["y"])


def graph(node: Any, kind: int = TensorProto.FLOAT, *, rows: int = 3, opset: int = 13, ir: int = 8) -> bytes:
    ends = [helper.make_tensor_value_info(name, kind, [rows, 4]) for name in "xy"]
    made = helper.make_graph([node], "g", ends[:1], ends[1:])
    sets = [helper.make_opsetid("", opset)]
    content: bytes = helper.make_model(made, opset_imports=sets, ir_version=ir).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (graph(LOWER, TensorProto.STRING, rows=1), "the locale 'xx_XX', which this machine does not have; install it"),
        (graph(SAME, opset=99), "Opset 99 is under development"),
        (graph(SAME, ir=99), "Unsupported model IR version: 99, max supported IR version: "),
        (graph(helper.make_node("MatMul", ["x", "x"], ["y"])), "Incompatible dimensions for matrix multiplication"),
        (graph(helper.make_node("Foo", ["x"], ["y"])), "No Op registered for Foo"),
        (graph(helper.make_node("Add", ["x", "x"], ["y"]), TensorProto.STRING), "Type 'tensor(string)' of input"),
    ],
)
def test_a_graph_that_is_not_loaded_is_refused_with_the_librarys_whole_reason(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        FORMATS["onnx"].read_signature(io.BytesIO(content), Hints())
    assert words in str(refusal.value)
    assert "onnxruntime_src" not in str(refusal.value)
    assert "std::" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{FAIL}/a/r.h:91 a::R::R(const T&, f<int(char)>, bool) a == b was false. No shape {{3}}", "No shape {3}"),
        (f"{FAIL}Exception: /a/b.cc:2 void f(int) const [with T = int] Out of /x room", "Exception: Out of /x room"),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got\n index: 1 Got: 5\n", "Got index: 1 Got: 5"),
        (f"{FAIL}/a/b.cc:2 cut off", "cut off"),
        ("", ""),
    ],
)
def test_places_in_source_code_are_left_out_and_the_reason_stays(text: str, said: str) -> None:
    assert reason(text) == said
