"""The list of formats: adding one is a file beside this one and a line here."""

from ai_platform.runtimes.runtime import Runtime
from ai_platform.runtimes.sklearn_pickle import SklearnPickleRuntime

FORMATS: dict[str, Runtime] = {
    "sklearn-pickle": SklearnPickleRuntime(),
}
