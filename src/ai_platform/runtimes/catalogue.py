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

RUNTIMES: tuple[Runtime, ...] = (
    SklearnPickleRuntime(),
    SklearnSkopsRuntime(),
    OnnxRuntime(),
    XgboostRuntime(),
    LightgbmRuntime(),
    PythonRuntime(),
)
FORMATS = {runtime.format.name: runtime for runtime in RUNTIMES}


def format_of(path: Path) -> str:
    """The format of a file, by its ending.

    Raises:
        ValueError: no format is known by that ending; the sentence lists those that are.
    """
    for runtime in RUNTIMES:
        if path.suffix.lower() in runtime.format.endings:
            return runtime.format.name
    raise ValueError(f"{path.name}: name the format with --format, one of {', '.join(FORMATS)}")
