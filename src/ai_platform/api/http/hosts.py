"""Which hosts are served: a name that is not expected may be an attacker's, who made it mean this machine."""

from urllib.parse import urlsplit

from ai_platform.errors import UnknownHost

_MOST_KNOWN = 64


class Hosts:
    """The host allow-list.

    Args:
        allowed: `api.allowed_hosts`.
    """

    def __init__(self, allowed: list[str]) -> None:
        self._all = "*" in allowed
        self._names = {host.strip("[]").lower() for host in allowed}
        # As callers write them, port and all; ports vary, and a caller must not make it grow without end.
        self._known = {host.encode("ascii", "replace") for host in allowed if host != "*"}

    def knows(self, host: bytes | None) -> bool:
        """Whether a Host header was found to be served before."""
        return host in self._known

    def check(self, given: list[bytes]) -> None:
        """Look at the Host headers of a request; HTTP/1.1 demands one, and 1.0 none.

        Raises:
            UnknownHost: there are two, or it is not served here.
        """
        if len(given) > 1:
            raise UnknownHost("a request names one host")
        host = given[0] if given else b""
        if host in self._known:
            return
        if not self._all and self._name(host) not in self._names:
            raise UnknownHost("this server does not serve that host; see AI_PLATFORM_API__ALLOWED_HOSTS")
        if len(self._known) < _MOST_KNOWN:
            self._known.add(host)

    def _name(self, host: bytes) -> str:
        try:
            return (urlsplit(f"//{host.decode('ascii')}").hostname or "").lower()
        except ValueError:
            return ""
