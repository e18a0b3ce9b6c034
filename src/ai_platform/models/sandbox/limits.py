"""What a process that opens other people's models gives up first: memory, time, files, network, other programs."""

import contextlib
import ctypes
import resource
import struct
from pathlib import Path

import msgspec

from ai_platform.models.sandbox.landlock import refuse_changes_outside
from ai_platform.models.sandbox.seccomp import refuse_other_processes
from ai_platform.processes.parent_death import die_with

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the process.

    Attributes:
        memory_bytes: largest address space; beyond it allocations fail.
        cpu_seconds: of all threads together; then the kernel ends it.
        file_bytes: largest file that it may write.
        open_files: most descriptors.
    """

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int
    open_files: int = 256


def enter_sandbox(limits: Limits, folder: Path, parent: int) -> list[str]:
    """Give all of it up, for good; must run before other threads do and before anything untrusted is read.

    Args:
        limits: of memory, time and files.
        folder: the only place where files may be changed.
        parent: process id of the parent, with whose death this process dies.

    Returns:
        What holds: `limits` always; `seccomp` and `landlock` where the kernel has them.

    Raises:
        OSError: limits or capabilities cannot be changed, or the parent is gone already.
    """
    die_with(parent)
    _limit(limits)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    holds = ["limits"]
    with contextlib.suppress(OSError):
        refuse_changes_outside(folder)
        holds.append("landlock")
    with contextlib.suppress(OSError):
        refuse_other_processes()
        holds.append("seccomp")
    return holds


def _limit(limits: Limits) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))
    # Of all processes in a container, this one is the one to end when memory runs out.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _drop_capabilities() -> None:
    """All of them (`capset(2)`): root's let it read other processes' memory, past any filter of files."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, bytes(2 * 3 * 4)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
