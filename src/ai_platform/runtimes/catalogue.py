"""The list of formats: adding one is a file beside this one and a line here.

What stands here imports no model library; each runtime imports its own when it is first asked to load.
"""

from pathlib import Path

from ai_platform.runtimes.base.runtime import Runtime
from ai_platform.runtimes.boosters.lightgbm_model import LightgbmRuntime
from ai_platform.runtimes.boosters.xgboost_model import XgboostRuntime
from ai_platform.runtimes.onnx.model import OnnxRuntime
from ai_platform.runtimes.python.module import PythonRuntime
from ai_platform.runtimes.sklearn.pickle_format import SklearnPickleRuntime
from ai_platform.runtimes.sklearn.skops_format import SklearnSkopsRuntime

FORMATS: dict[str, Runtime] = {
    "sklearn-pickle": SklearnPickleRuntime(),
    "sklearn-skops": SklearnSkopsRuntime(),
    "onnx": OnnxRuntime(),
    "xgboost": XgboostRuntime(),
    "lightgbm": LightgbmRuntime(),
    "python": PythonRuntime(),
}

# Formats whose libraries compute without the GIL, so that a thread is as good as a process. Of the
# others it depends on the model, and is measured.
RELEASES_LOCK = frozenset({"onnx", "xgboost", "lightgbm"})

# The format that a file's ending means, where nobody names one.
ENDINGS: dict[str, str] = {
    ".pkl": "sklearn-pickle",
    ".pickle": "sklearn-pickle",
    ".joblib": "sklearn-pickle",
    ".skops": "sklearn-skops",
    ".onnx": "onnx",
    ".json": "xgboost",
    ".ubj": "xgboost",
    ".txt": "lightgbm",
    ".py": "python",
}


def format_of(path: Path) -> str:
    """The format of a file, by its ending.

    Raises:
        ValueError: no format is known by that ending; the sentence lists those that are.
    """
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise ValueError(f"{path.name}: name the format with --format, one of {', '.join(FORMATS)}")
    return found
