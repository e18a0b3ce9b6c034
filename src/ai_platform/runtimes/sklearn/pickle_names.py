"""What a pickle may name: scikit-learn's own classes and what they are made of, and nothing that acts.

This is a second line. The first is that nothing is unpickled whose signature was not verified: a list of names cannot
make pickle safe, but it stops what a fitted estimator has no reason to hold.
"""

import importlib
import pickletools
from typing import Any, BinaryIO

import numpy as np

# Names that stand for themselves.
_EXACT = frozenset({
    ("builtins", "bytearray"), ("builtins", "complex"), ("builtins", "dict"), ("builtins", "float"),
    ("builtins", "frozenset"), ("builtins", "int"), ("builtins", "list"), ("builtins", "object"), ("builtins", "range"),
    ("builtins", "set"), ("builtins", "slice"), ("builtins", "str"), ("builtins", "tuple"), ("builtins", "bool"),
    ("builtins", "bytes"), ("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "Counter"),
    ("collections", "deque"), ("copyreg", "_reconstructor"), ("_codecs", "encode"),
    ("functools", "partial"), ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.ma.core", "_mareconstruct"), ("numpy.ma", "MaskedArray"),
    ("numpy.ma.core", "MaskedArray"), ("numpy.ma.core", "MaskedConstant"),
    ("pandas", "Index"), ("pandas", "RangeIndex"), ("pandas", "StringDtype"), ("pandas", "CategoricalDtype"),
    ("pandas.core.indexes.base", "_new_Index"), ("scipy._lib.array_api_compat.numpy._aliases", "asarray"),
})  # fmt: skip
# Plain functions that rebuild arrays and random states, under the module names of NumPy 1 and 2.
_NUMPY_FUNCTIONS = frozenset({
    "_reconstruct", "scalar", "_frombuffer", "__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor",
    "mean", "median",
})  # fmt: skip
# Modules whose classes are data: what estimators keep beside themselves, and boosters at the end of a pipeline.
_CLASSES = (
    "sklearn.", "numpy.random.", "numpy.dtypes", "scipy.sparse.", "scipy.interpolate.", "scipy.spatial.",
    "pandas.arrays", "pandas.core.indexes.", "pandas.core.dtypes.", "pandas.core.arrays.", "pandas._libs.",
    "xgboost.", "lightgbm.",
)  # fmt: skip
# Modules whose functions are arithmetic: scores, kernels, distances.
_FUNCTIONS = (
    "sklearn.metrics.",
    "sklearn.feature_selection.",
    "sklearn.neighbors.",
    "sklearn.cluster._kmeans",
    "sklearn.utils.validation",
)
_NUMPY = ("numpy.core.", "numpy._core.", "numpy.random.", "numpy.ma.", "numpy.dtypes", "scipy.special.")
# Parts of a module's name under which nothing is imported: what acts when imported, fetches, or belongs to tests.
_NEVER = frozenset({"__main__", "_build_utils", "_testing", "conftest", "datasets", "externals", "tests"})
_PYTHON_2 = {"copy_reg": "copyreg", "__builtin__": "builtins"}
# How many opcodes before a STACK_GLOBAL can hold its two strings.
_RECENT = 2


def find(module: str, name: str) -> Any:
    """The object of a name that a pickle of an estimator may hold.

    Raises:
        ValueError: it may not, or there is no such object here; the sentence says which.
    """
    module = _PYTHON_2.get(module, module)
    allowed = (module, name) in _EXACT or _is_of_a_known_module(module)
    if not allowed or "." in name:
        raise ValueError(_refusal(module, name))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(
            f"it needs {module}.{name}, which the libraries installed here do not have; train it again with them"
        ) from None
    if (module, name) not in _EXACT and not _is_harmless(module, name, found):
        raise ValueError(_refusal(module, name))
    return found


def named_in(artifact: BinaryIO) -> list[str]:
    """Every name that a pickle would look up, read from its opcodes; nothing is executed.

    A name that the pickle puts together while it runs shows as `pickle`; so does a pickle that names nothing.

    Raises:
        ValueError: it is no pickle.
    """
    names: set[str] = set()
    memo: dict[int, Any] = {}
    stack: list[Any] = [None, None]
    try:
        for opcode, argument, _position in pickletools.genops(artifact):
            _note(opcode.name, argument, stack, memo, names)
    except Exception as error:  # any of a dozen kinds, for bytes that were never a pickle
        raise ValueError("it is no pickle, or is cut short") from error
    return sorted(names) or ["pickle"]


def _note(opcode: str, argument: Any, stack: list[Any], memo: dict[int, Any], names: set[str]) -> None:
    """Follow the strings on the top of the stack, which is all that names are made of."""
    if opcode in {"GLOBAL", "INST"}:
        names.add(argument.replace(" ", "."))
    elif opcode == "STACK_GLOBAL":
        module, name = stack[-_RECENT:]
        names.add(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "pickle")
    elif opcode in {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}:
        names.add("pickle")
    if opcode == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif opcode in {"PUT", "BINPUT", "LONG_BINPUT"}:
        memo[int(argument)] = stack[-1]
    elif opcode in {"GET", "BINGET", "LONG_BINGET"}:
        stack[:] = [stack[-1], memo.get(int(argument))]
    elif opcode not in {"FRAME", "PROTO"}:
        stack[:] = [stack[-1], argument if isinstance(argument, str) else None]


def _is_of_a_known_module(module: str) -> bool:
    known = module in {"numpy", "numpy.ma", "scipy.special"} or module.startswith(_NUMPY + _CLASSES)
    return known and _NEVER.isdisjoint(module.split("."))


def _is_harmless(module: str, name: str, found: Any) -> bool:
    home = getattr(found, "__module__", None) or ""
    if isinstance(found, type):
        return issubclass(found, np.generic) or (module.startswith(_CLASSES) and home.startswith(_CLASSES))
    if isinstance(found, np.ufunc) or name.startswith("__pyx_unpickle_"):
        return True
    if module == "numpy" or module.startswith("numpy."):
        return name in _NUMPY_FUNCTIONS
    return callable(found) and module.startswith(_FUNCTIONS) and home.startswith(_FUNCTIONS)


def _refusal(module: str, name: str) -> str:
    if module.startswith("scipy.stats."):
        return f"the pickle names {module}.{name}; publish the `best_estimator_` of a search, and not the search itself"
    return (
        f"the pickle names {module}.{name}, which a fitted scikit-learn estimator does not need here; a model with"
        " code of its own is published in the format `python`"
    )
