"""The sentence for a publisher about what went wrong while a model was opened or tried."""

_LONGEST = 500


def sentence(error: BaseException) -> str:
    """Why a model cannot be used, without paths or traces.

    A `ValueError` of this platform's runtimes carries a sentence of its own, which is passed on; of anything else the
    kind is named.
    """
    if isinstance(error, MemoryError):
        return "it needs more memory than proving allows (AI_PLATFORM_MODELS__PROVE_MEMORY_MB)"
    if type(error).__name__ == "InconsistentVersionWarning":
        written = getattr(error, "original_sklearn_version", "?")
        present = getattr(error, "current_sklearn_version", "?")
        return f"it was written by scikit-learn {written}, and this platform has {present}; train it again with that"
    if isinstance(error, ImportError) and error.name:
        return f"it needs the module {error.name}, which is not installed here"
    if isinstance(error, PermissionError) and error.errno is not None:
        return "it tried to open or change a file that it may not"
    text = " ".join(str(error).split()) if isinstance(error, ValueError | PermissionError) else ""
    return text[:_LONGEST] or f"{type(error).__name__} was raised"
