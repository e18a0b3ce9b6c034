"""`sklearn-pickle`: a fitted scikit-learn estimator as the pickle module writes it. The only module that unpickles."""

import pickle
from typing import Any, BinaryIO

from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.sklearn.model import as_served, checked, library_versions, of_this_version
from ai_platform.runtimes.sklearn.pickle_names import find, named_in
from ai_platform.runtimes.sklearn.signature import signature_of

# What stands in every file of `joblib.dump` that holds an array, and how compressed files start: zlib, gzip, bzip2,
# xz, lzma, lz4.
_JOBLIB = b"NumpyArrayWrapper"
_COMPRESSED = (
    b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00",
    b"\x04\x22\x4d\x18",
)  # fmt: skip
_PART_BYTES = 1_048_576


class SklearnPickleRuntime:
    """Unpickles bytes that the one loader has verified."""

    format = Format(name="sklearn-pickle", endings=(".pkl", ".pickle", ".joblib"), runs_code=True)

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """Every name that the pickle would look up, without executing it; never none, because a pickle is a program.

        In joblib's files arrays stand between the opcodes, so that these cannot be read alone; such a file is `pickle`.

        Raises:
            ValueError: it is no pickle, or a compressed one.
        """
        return ["pickle"] if _is_of_joblib(artifact) else named_in(artifact)

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """From the estimator itself, completed by the hints. Unpickles, so only what was verified.

        Raises:
            ValueError: it is not a fitted estimator of this version, or the hints do not fit it.
        """
        return signature_of(_estimator(artifact), hints)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Unpickle; a pickle of another scikit-learn version is refused, because its numbers may differ.

        Raises:
            ValueError: it names what no estimator needs, was written by another version, is not fitted, cannot
                predict, or has other inputs than the signature.
        """
        return as_served(_estimator(artifact), signature)

    def libraries(self) -> dict[str, str]:
        """What a pickle needs."""
        return library_versions("scikit-learn", "numpy", "scipy")


class _EstimatorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return find(module, name)


def _estimator(artifact: BinaryIO) -> Any:
    of_joblib = _is_of_joblib(artifact)
    unpickler = _joblib_unpickler(artifact) if of_joblib else _EstimatorUnpickler(artifact)
    with of_this_version():
        # The loader has checked hash and signature of these very bytes.
        return checked(unpickler.load())


def _joblib_unpickler(artifact: BinaryIO) -> Any:
    from joblib.numpy_pickle import NumpyUnpickler

    class EstimatorUnpickler(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
        def find_class(self, module: str, name: str) -> Any:
            return find(module, name)

    return EstimatorUnpickler("", artifact, ensure_native_byte_order=True)


def _is_of_joblib(artifact: BinaryIO) -> bool:
    """Whether `joblib.dump` wrote it; at most this word in a text of a pickle's is mistaken for that, without harm."""
    part = artifact.read(_PART_BYTES)
    if part.startswith(_COMPRESSED):
        raise ValueError("it is compressed; write it without compression, by `pickle.dump` or `joblib.dump`")
    found, end = False, b""
    while part and not found:
        window = end + part
        found = _JOBLIB in window
        end, part = window[-len(_JOBLIB) :], artifact.read(_PART_BYTES)
    artifact.seek(0)
    return found
