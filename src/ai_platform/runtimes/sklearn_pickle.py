"""`sklearn-pickle`: a fitted scikit-learn estimator as the pickle module writes it. The only module that unpickles."""

import pickle
from typing import Any, BinaryIO

from ai_platform.runtimes.estimator_signature import signature_of
from ai_platform.runtimes.estimators import as_served, checked, library_versions, of_this_version
from ai_platform.runtimes.pickle_names import find, named_in
from ai_platform.runtimes.runtime import Hints, LoadedModel
from ai_platform.runtimes.signature import Signature

# How joblib's files begin to differ, and how its compressed ones start: zlib, gzip, bzip2, xz, lzma, lz4.
_JOBLIB = b"joblib.numpy_pickle"
_COMPRESSED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")  # noqa: E501  # fmt: skip
_HEAD_BYTES = 65_536


class SklearnPickleRuntime:
    """Unpickles bytes that the one loader has verified."""

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """Every name that the pickle would look up, without executing it; never none, because a pickle is a program.

        Raises:
            ValueError: it is no pickle, or one of joblib's.
        """
        _refuse_joblib(artifact)
        return named_in(artifact)

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
    _refuse_joblib(artifact)
    with of_this_version():
        # The loader has checked hash and signature of these very bytes.
        return checked(_EstimatorUnpickler(artifact).load())


def _refuse_joblib(artifact: BinaryIO) -> None:
    head = artifact.read(_HEAD_BYTES)
    artifact.seek(0)
    if _JOBLIB in head or head.startswith(_COMPRESSED):
        raise ValueError("it was written by joblib or is compressed; write it with `pickle.dump`, or as skops")
