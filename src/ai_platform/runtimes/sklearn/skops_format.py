"""`sklearn-skops`: a fitted scikit-learn estimator as skops writes it, with no code of its own."""

import zipfile
from typing import Any, BinaryIO

from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.sklearn.model import as_served, checked, library_versions, of_this_version
from ai_platform.runtimes.sklearn.signature import signature_of

# A file that unpacks to more than this many times its size was made to fill memory; arrays are stored as they are.
_MOST_EXPANSION = 200
_SMALL_BYTES = 64 * 1024 * 1024


class SklearnSkopsRuntime:
    """Builds estimators from types that the one loader has decided about."""

    format = Format(name="sklearn-skops", endings=(".skops",), runs_code=True, judged_by_type=True)

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """The types that skops does not know as safe; every forest has some. None of them is made.

        Raises:
            ValueError: it is no skops file.
        """
        from skops.io import get_untrusted_types

        _check_sizes(artifact)
        try:
            found: list[str] = get_untrusted_types(file=artifact)
        except Exception as error:  # whatever a damaged schema makes of skops
            raise ValueError("it is no skops file that this version of skops reads") from error
        artifact.seek(0)
        return found

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """From the estimator itself, completed by the hints.

        Raises:
            ValueError: it is not a fitted estimator of this version, or the hints do not fit it.
        """
        return signature_of(self._estimator(artifact), hints)

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Build the estimator.

        Raises:
            ValueError: it is no skops file, was written with another version of scikit-learn, is not fitted, cannot
                predict, or has other inputs than the signature.
        """
        return as_served(self._estimator(artifact), signature)

    def libraries(self) -> dict[str, str]:
        """What a skops file needs."""
        return library_versions("scikit-learn", "skops", "numpy", "scipy")

    def _estimator(self, artifact: BinaryIO) -> Any:
        from skops.io import load

        # The loader has asked for these types of these very bytes, and demanded a trusted signature when an operator's
        # list did not hold them all. Asking again through the same descriptor therefore widens nothing.
        decided = self.untrusted_types(artifact)
        with of_this_version():
            try:
                return checked(load(artifact, trusted=decided))
            except (ImportError, AttributeError) as error:
                raise ValueError(f"it needs what the libraries installed here do not have: {error}") from error


def _check_sizes(artifact: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(artifact) as archive:
            packed = sum(entry.compress_size for entry in archive.infolist())
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception as error:  # any of a dozen kinds, for bytes that were never an archive
        raise ValueError("it is no skops file") from error
    if unpacked > max(_SMALL_BYTES, _MOST_EXPANSION * packed):
        raise ValueError("it is a skops file that unpacks to far more than it should")
    artifact.seek(0)
