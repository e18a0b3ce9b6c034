"""Which versions have passed a trial on this machine: a restart need not try them again."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from ai_platform import __version__
from ai_platform.models.registry.versions import Version
from ai_platform.runtimes.catalogue import FORMATS


class TrialNotes:
    """Files beside the artifacts, one for a version that was loaded by a process of this name.

    A note is taken away while the version is loaded. So one that ends the process in spite of its trial has none
    afterwards, and is tried again first.

    Args:
        cache_dir: the folder of artifacts.
        name: of the process: what one loads, another may be loading at the same time.
    """

    def __init__(self, cache_dir: Path, name: str) -> None:
        self._folder = cache_dir / "tried"
        self._name = name

    def passed(self, version: Version) -> bool:
        """Whether it was loaded here before, by the same libraries."""
        return self._path(version).exists()

    @contextlib.contextmanager
    def noted(self, version: Version) -> Iterator[None]:
        """Load a version within; it is noted when nothing is raised."""
        path = self._path(version)
        # A folder that cannot be written costs a trial at each start, and nothing else.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        yield
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            path.touch()

    def _path(self, version: Version) -> Path:
        libraries = sorted(FORMATS[version.format].libraries().items())
        parts = (self._name, __version__, version.manifest.hex(), repr(libraries))
        return self._folder / hashlib.sha256("\n".join(parts).encode()).hexdigest()
