"""Names for what the kernel would refuse without a word: Python's audit events of programs and connections.

The kernel's filter is what holds; this only turns an attempt into a sentence, and remembers it when the model swallows
the error.
"""

import sys
from typing import Any

_PROGRAMS = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen")
_CONNECTIONS = (
    "socket.__new__",
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
)


class Forbidden(PermissionError):
    """The model tried to do what no model may."""


def watch() -> list[str]:
    """Refuse such attempts of this process from now on, for good.

    Returns:
        The sentences of what was tried, filled as it happens.
    """
    tried: list[str] = []

    def look(event: str, _: tuple[Any, ...]) -> None:
        act = _act(event)
        if act is not None:
            tried.append(act)
            raise Forbidden(act)

    sys.addaudithook(look)
    return tried


def _act(event: str) -> str | None:
    if event in _PROGRAMS:
        return "it tried to start a program, which no model may"
    if event in _CONNECTIONS:
        return "it tried to open a network connection, which no model may"
    return None
