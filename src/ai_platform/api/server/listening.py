"""The sockets on which connections are accepted; of several processes bound once, and open while their parent lives.

A connection that arrives while one process ends or begins waits in the backlog until another takes it.
"""

import contextlib
import socket

from ai_platform.errors import StackError

# The kernel takes the smaller of this and net.core.somaxconn.
BACKLOG = 2048
# Accepted connections inherit these. A caller whose machine or network is gone says no goodbye: the kernel asks after
# half a minute of silence, and gives up a minute after that. Of an answer that is not read the kernel would take
# megabytes a connection, until it has no memory for anybody's; so it takes little more than it can send.
_OPTIONS = (
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 30),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 15),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), 4),
    ((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT), 65_536),
)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address of a host, IPv4 and IPv6, that accept already.

    Raises:
        StackError: one of them cannot be had.
    """
    with contextlib.ExitStack() as opened:
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sockets = [opened.enter_context(_bound(family, address)) for family, *_, address in dict.fromkeys(found)]
        except OSError as error:
            raise StackError(f"the API cannot listen on {host}, port {port}: {error.strerror}") from None
        opened.pop_all()
    return sockets


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option, value in _OPTIONS:
            made.setsockopt(*option, value)
        made.bind(address)
        made.listen(BACKLOG)
        made.settimeout(0)
    except OSError:
        made.close()
        raise
    return made
