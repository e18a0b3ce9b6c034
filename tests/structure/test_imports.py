"""What importing costs, and who may unpickle."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ai_platform

pytestmark = pytest.mark.quick

SOURCE = Path(ai_platform.__file__).parent
LIBRARIES = {"sklearn", "pandas", "scipy", "onnx", "onnxruntime", "skl2onnx", "skops", "xgboost", "lightgbm", "joblib"}
# Calls and classes that execute what they read.
LOADERS = {"load", "loads", "Unpickler", "_Unpickler", "NumpyUnpickler"}
MODULES = {"pickle", "_pickle", "cPickle", "joblib", "cloudpickle", "dill", "marshal", "shelve", "torch"}


def test_importing_the_formats_what_publishes_files_and_the_api_loads_no_model_library() -> None:
    shown = "print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv)))"
    modules = ("ai_platform.runtimes.catalogue", "ai_platform.training.model_file", "ai_platform.api.app")
    code = "import sys\n" + "".join(f"import {module}\n{shown}\n" for module in modules)
    found = subprocess.run(
        [sys.executable, "-c", code, "fastapi", *LIBRARIES],
        check=True, capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(SOURCE.parent), "PATH": ""},
    ).stdout.splitlines()  # fmt: skip
    assert found == ["[]", "[]", "['fastapi']"]


def test_one_module_unpickles() -> None:
    found = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if unpickles(path.read_text("utf-8"))}
    assert found == {"runtimes/sklearn/pickle_format.py"}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')", "import pickle as p\np.load(file)", "from pickle import loads",
        "import joblib\njoblib.load(path)", "import cloudpickle", "import dill", "pd.read_pickle(path)",
        "np.load(path, allow_pickle=True)", "from joblib import load as read",
        "from joblib.numpy_pickle import NumpyUnpickler", "import pickle\nu = pickle.Unpickler",
    ],
)  # fmt: skip
def test_any_way_to_unpickle_is_seen(source: str) -> None:
    assert unpickles(source)


@pytest.mark.parametrize("source", ["import pickle\npickle.dumps(1)", "import json\njson.loads('1')"])
def test_writing_a_pickle_is_no_unpickling(source: str) -> None:
    assert not unpickles(source)


def unpickles(source: str) -> bool:
    if not re.search("|".join([*MODULES, "read_pickle", "allow_pickle"]), source):
        return False
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] in MODULES
    }
    return any(_is_unpickling(node, names) for node in ast.walk(tree))


def _is_unpickling(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in {"cloudpickle", "dill", "shelve", "marshal"} for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return str(node.module).partition(".")[0] in MODULES and any(alias.name in LOADERS for alias in node.names)
    if isinstance(node, ast.Attribute):
        of_module = isinstance(node.value, ast.Name) and node.value.id in names
        return node.attr == "read_pickle" or (of_module and node.attr in LOADERS)
    return (
        isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    )
