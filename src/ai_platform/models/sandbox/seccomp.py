"""A seccomp filter (Linux, `seccomp(2)`): system calls by which a process reaches others, refused by the kernel."""

import ctypes
import errno
import os
import platform
import struct

from ai_platform.models.sandbox.system_calls import NUMBERS, Numbers

# linux/filter.h and linux/bpf_common.h: load a word, jump if equal, greater or equal, or any bit is set; return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# linux/seccomp.h
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_FILTER, _ALL_THREADS = 1, 1
# Offsets into struct seccomp_data, little-endian: the number, the architecture, the low half of argument i.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_CLONE_THREAD = 0x10000
_X32 = 0x40000000

_Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_other_processes() -> None:
    """Install the filter for every thread of this process, for good; `no_new_privs` must be set.

    Threads can still be started. Refused with EPERM: new processes, new programs, sockets, signals to others, and
    whatever looks into or changes other processes, mounts, keys or the kernel.

    Raises:
        OSError: the kernel has no such filter, or this architecture has no table of numbers here.
    """
    numbers = NUMBERS.get(platform.machine())
    if numbers is None:
        raise OSError(errno.ENOSYS, f"no table of system calls for {platform.machine()}")
    instructions = _instructions(numbers, os.getpid())
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in instructions))
    program = _Program(len(instructions), ctypes.addressof(packed))
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.syscall(numbers.seccomp, _SET_FILTER, _ALL_THREADS, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a seccomp filter")


def _instructions(numbers: Numbers, pid: int) -> list[_Instruction]:
    refused = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    allowed = (_RETURN, 0, 0, _ALLOW)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, numbers.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        # The numbers of x32 on x86-64 begin here, and mean the same calls; no other table reaches so far.
        (_AT_LEAST, 0, 1, _X32),
        refused,
    ]
    for number in numbers.refused:
        program += [(_EQUAL, 0, 1, number), refused]
    # The C library then uses `clone`, whose flags are an argument that can be read here.
    program += [(_EQUAL, 0, 1, numbers.clone3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    program += [(_EQUAL, 0, 4, numbers.clone), _argument(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), refused, allowed]
    for number in numbers.to_itself:
        program += [(_EQUAL, 0, 4, number), _argument(0), (_EQUAL, 1, 0, pid), refused, allowed]
    # Limits may be asked for, and not set: the pointer to new ones must be null in both halves.
    program += [(_EQUAL, 0, 6, numbers.prlimit64), _argument(2), (_EQUAL, 0, 2, 0), _argument(2, high=True)]
    program += [(_EQUAL, 1, 0, 0), refused, allowed]
    return [*program, allowed]


def _argument(place: int, *, high: bool = False) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * place + (4 if high else 0))
