"""TCP ports on loopback: whether one is free, and one of our own that stays the same from start to start."""

import errno
import json
import random
import socket
from pathlib import Path

from ai_platform.errors import StackError
from ai_platform.processes.files import write_private

# Below what systems hand out to outgoing connections, so that none of those takes a server's port while it restarts.
OURS = range(20_000, 32_000)
TRIES = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now; connections that are only waiting to expire do not count.

    Raises:
        OSError: the address is not one of this machine's, or the port is for root alone.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def kept_port(file: Path, role: str) -> int:
    """The role's port of last time if it is free, else a new one, which is then remembered.

    Args:
        file: JSON object of role and port.
        role: whose port it is.

    Raises:
        StackError: no free port was found.
    """
    known = _read(file)
    port = known.get(role)
    if port is not None and is_free(port):
        return port
    port = _another(set(known.values()))
    write_private(file, json.dumps({**known, role: port}))
    return port


def _another(taken: set[int]) -> int:
    for port in random.sample(OURS, TRIES):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port was found between {OURS.start} and {OURS.stop}; end what occupies them")


def _read(file: Path) -> dict[str, int]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {str(role): port for role, port in known.items() if isinstance(port, int)}
