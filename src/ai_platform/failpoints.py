"""Named places at which a test can make a process die, hang or crash; nothing happens unless a folder is configured."""

import faulthandler
import os
import signal
from contextlib import suppress
from pathlib import Path

# Every place, in the order in which a job passes them; docs/architecture/jobs.md says what a crash at each leads to.
POINTS = (
    "accept.before_insert",
    "accept.committed",
    "accept.before_answer",
    "worker.notified",
    "worker.claimed",
    "worker.computing",
    "worker.computed",
    "worker.finished",
    "sweeper.committed",
)

_folder: Path | None = None


def configure(folder: Path | None) -> None:
    """Look for armed points in this folder from now on; None, as in every real installation, turns them off."""
    global _folder  # noqa: PLW0603  # one a process, like the process that it is there to kill
    _folder = folder


def reach(point: str) -> None:
    """Do what a test armed this point with: a file of the point's name that holds `kill`, `stop`, `segv` or `raise`.

    The file is taken away first, so that each arming acts once, in whichever process comes first.

    Raises:
        RuntimeError: the point was armed with `raise`.
    """
    if _folder is None:
        return
    armed = _folder / point
    taken = _folder / f"{point}.taken-{os.getpid()}"
    with suppress(FileNotFoundError):
        armed.rename(taken)
        action = taken.read_text(encoding="ascii").strip()
        taken.unlink()
        _act(action, point)


def _act(action: str, point: str) -> None:
    if action == "raise":
        raise RuntimeError(f"failpoint {point}")
    if action == "segv":
        faulthandler._sigsegv()  # type: ignore[attr-defined]  # noqa: SLF001  # the honest way to crash in C
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[action])
