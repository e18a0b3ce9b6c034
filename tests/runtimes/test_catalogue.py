"""The list of formats costs nothing that a model does not need."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.quick

LIBRARIES = ("lightgbm", "onnx", "onnxruntime", "pandas", "skl2onnx", "sklearn", "skops", "xgboost")


def loaded_after(code: str) -> set[str]:
    report = f"{code}\nimport sys\nprint(*(name for name in {LIBRARIES} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_naming_the_formats_imports_no_library_of_models() -> None:
    assert loaded_after("import ai_platform.runtimes.catalogue") == set()


def test_an_onnx_model_needs_onnx_runtime_and_nothing_else() -> None:
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    code = f"""
import io
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.base.signature import Feature, Signature
loaded = FORMATS["onnx"].load(io.BytesIO({content!r}), Signature(inputs=(Feature(name="x"),)))
assert loaded.predict([[2.5]]).predictions == [2.5]
"""
    assert loaded_after(code) == {"onnxruntime"}
