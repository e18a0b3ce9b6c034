"""Numbers of the Linux system calls that loading a model never needs, by architecture (the kernel's `unistd.h`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Numbers:
    """One architecture.

    Attributes:
        architecture: AUDIT_ARCH_* of linux/audit.h.
        seccomp: the call that installs a filter.
        clone: makes threads and processes; only threads are allowed.
        clone3: the same with its flags in memory, where a filter cannot read them.
        prlimit64: reads and sets limits; only reading is allowed.
        to_itself: `kill` and `tgkill`, allowed when they name this process.
        refused: refused always.
    """

    architecture: int
    seccomp: int
    clone: int
    clone3: int
    prlimit64: int
    to_itself: tuple[int, ...]
    refused: tuple[int, ...]


# The same on every architecture: io_uring, pidfd_*, the newer calls for mounts, process_madvise, fchmodat2.
_NEWER = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442, 452)

_X86_64 = {
    "sockets": (41, 42, 43, 44, 45, 46, 47, 49, 50, 288, 299, 307),
    "new processes and programs": (57, 58, 59, 322),
    "sessions and process groups": (109, 112),
    "signals to others": (129, 200, 297),
    "other processes' memory": (101, 310, 311, 312),
    "limits and scheduling": (160,),
    "mounts and roots": (155, 161, 165, 166, 272, 308),
    "rights and owners of files": (90, 91, 92, 93, 94, 260, 268, 303, 304),
    "keys": (248, 249, 250),
    "the kernel": (167, 168, 169, 175, 176, 246, 298, 313, 320, 321, 323),
}
_AARCH64 = {
    "sockets": (198, 200, 201, 202, 203, 206, 207, 211, 212, 242, 243, 269),
    "new processes and programs": (221, 281),
    "sessions and process groups": (154, 157),
    "signals to others": (130, 138, 240),
    "other processes' memory": (117, 270, 271, 272),
    "limits and scheduling": (164,),
    "mounts and roots": (39, 40, 41, 51, 97, 268),
    "rights and owners of files": (52, 53, 54, 55, 264, 265),
    "keys": (217, 218, 219),
    "the kernel": (104, 105, 106, 142, 224, 225, 241, 273, 280, 282, 294),
}

NUMBERS = {
    "x86_64": Numbers(0xC000003E, 317, 56, 435, 302, (62, 234), sum(_X86_64.values(), ()) + _NEWER),
    "aarch64": Numbers(0xC00000B7, 277, 220, 435, 261, (129, 131), sum(_AARCH64.values(), ()) + _NEWER),
}
