"""The list of formats: adding one is a file beside this one and a line here.

What stands here imports no model library; each runtime imports its own when it is first asked to load.
"""

from ai_platform.runtimes.lightgbm_model import LightgbmRuntime
from ai_platform.runtimes.onnx_model import OnnxRuntime
from ai_platform.runtimes.runtime import Runtime
from ai_platform.runtimes.sklearn_pickle import SklearnPickleRuntime
from ai_platform.runtimes.xgboost_model import XgboostRuntime

FORMATS: dict[str, Runtime] = {
    "sklearn-pickle": SklearnPickleRuntime(),
    "onnx": OnnxRuntime(),
    "xgboost": XgboostRuntime(),
    "lightgbm": LightgbmRuntime(),
}
