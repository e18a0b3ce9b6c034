"""Landlock (Linux 5.13 and later, `landlock(7)`): which files this process may change, refused by the kernel."""

import ctypes
import os
import struct
from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
# linux/landlock.h: executing, writing, and every way of making or removing an entry of a folder.
_EXECUTE, _WRITE_FILE = 1 << 0, 1 << 1
_ENTRIES = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
# From which version on the kernel knows these.
_HAS_REFER, _HAS_TRUNCATE, _HAS_TCP, _HAS_SCOPES = 2, 3, 4, 6


def refuse_changes_outside(folder: Path) -> None:
    """Let this thread and those it will start change files in one folder only, and execute none; for good.

    Files can still be read, but nothing of other processes under /proc. Connections and signals to others are refused
    too where the kernel knows how. `no_new_privs` must be set.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    kernel = ctypes.CDLL(None, use_errno=True)
    version = _checked(kernel.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION))
    files = _EXECUTE | _WRITE_FILE | _ENTRIES
    files |= (_REFER if version >= _HAS_REFER else 0) | (_TRUNCATE if version >= _HAS_TRUNCATE else 0)
    attributes = struct.pack("=Q", files)
    if version >= _HAS_TCP:
        attributes += struct.pack("=Q", _TCP)
    if version >= _HAS_SCOPES:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = _checked(kernel.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        _allow(kernel, ruleset, folder, files & ~_EXECUTE)
        _allow(kernel, ruleset, Path(os.devnull), _WRITE_FILE | files & _TRUNCATE)
        _checked(kernel.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(kernel: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, opened)
        _checked(kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(opened)


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses Landlock")
    return answer
