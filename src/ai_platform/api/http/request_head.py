"""What stands above a request's body, read once for everybody who asks: authorizer, endpoint, accepting."""

from ai_platform.access.limiter import Ticket
from ai_platform.access.principal import UNAUTHENTICATED, Principal

Headers = list[tuple[bytes, bytes]]


class RequestHead:
    """The request line and headers of one request, and what the gate has found out about its caller.

    Attributes:
        method: in capitals.
        path: decoded, without the query.
        raw_path: as it was sent.
        query: as it was sent, without the question mark.
        client: address and port that it came from, if they are known.
        headers: all of them in order, names in lower case.
        named: the last value of each header.
        repeats: whether some header was sent more than once.
        principal: who calls; set by `Gate.admit`.
        ticket: what the limits take of this request; None while none applies.
    """

    __slots__ = (
        "client", "headers", "method", "named", "path", "principal", "query", "raw_path", "repeats", "ticket",
    )  # fmt: skip

    def __init__(self, method: str, path: str, raw_path: bytes, query: bytes, headers: Headers) -> None:
        self.method = method
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.client: tuple[str, int] | None = None
        self.headers = headers
        self.named = dict(headers)
        self.repeats = len(self.named) != len(headers)
        self.principal: Principal = UNAUTHENTICATED
        self.ticket: Ticket | None = None

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        if not self.repeats:
            return [self.named[name]] if name in self.named else []
        return [value for known, value in self.headers if known == name]
