"""The sentence for a publisher about what went wrong while a model was opened or tried."""

import re

from ai_platform.runtimes.onnx.reasons import is_reason, reason

_LONGEST = 500
# Folders say nothing to who publishes, and are nobody else's business; the file's name may.
_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s/'\":,;()]+/)+(?=[^\s/])")


def without_paths(text: str) -> str:
    """A text in which each absolute path is its last part."""
    return _FOLDERS.sub("", text)


def error_text(error: BaseException) -> str:
    """Why a model cannot be used, without paths or traces.

    A `ValueError` of this platform's runtimes carries a sentence of its own, which is passed on; of anything else the
    kind is named, and what it says.
    """
    if isinstance(error, MemoryError):
        return "it needs more memory than validation allows (AI_PLATFORM_MODELS__VALIDATION_MEMORY_MB)"
    if type(error).__name__ == "InconsistentVersionWarning":
        written = getattr(error, "original_sklearn_version", "?")
        present = getattr(error, "current_sklearn_version", "?")
        return f"it was written by scikit-learn {written}, and this platform has {present}; train it again with that"
    if isinstance(error, ImportError) and error.name:
        return f"it needs the module {error.name}, which is not installed here; install it beside the platform"
    if isinstance(error, PermissionError) and error.errno is not None:
        return "it tried to open or change a file that it may not"
    text = without_paths(" ".join(str(error).split()))[:_LONGEST]
    if is_reason(text):
        return f"ONNX Runtime says: {reason(str(error))}"
    known = isinstance(error, ValueError | PermissionError) and text
    return text if known else f"{type(error).__name__} was raised" + (f": {text}" if text else "")
