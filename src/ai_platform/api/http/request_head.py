"""What stands above a request's body, read once for everybody who asks."""

from ai_platform.serving.caller import NOBODY_YET, Caller

Headers = list[tuple[bytes, bytes]]


class RequestHead:
    """The request line and headers of one request, and who sent it.

    Attributes:
        method: in capitals.
        path: decoded, without the query.
        raw_path: as it was sent.
        query: as it was sent, without the question mark.
        client: address and port that it came from, if they are known.
        headers: all of them in order, names in lower case.
        named: the last value of each header.
        repeats: whether some header was sent more than once.
        caller: who calls; set by `auth.identify`.
    """

    __slots__ = ("caller", "client", "headers", "method", "named", "path", "query", "raw_path", "repeats")

    def __init__(self, method: str, path: str, raw_path: bytes, query: bytes, headers: Headers) -> None:
        self.method = method
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.client: tuple[str, int] | None = None
        self.headers = headers
        self.named = dict(headers)
        self.repeats = len(self.named) != len(headers)
        self.caller: Caller = NOBODY_YET

    def limit_headers(self) -> Headers:
        """What the rate limits leave to the caller; empty while none applies."""
        ticket = self.caller.ticket
        return [] if ticket is None else ticket.headers()

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        if not self.repeats:
            return [self.named[name]] if name in self.named else []
        return [value for known, value in self.headers if known == name]
