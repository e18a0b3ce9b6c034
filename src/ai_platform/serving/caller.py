"""One call of a caller: who it is, and what the rate limits take for it."""

from ai_platform.access.limiter import Ticket
from ai_platform.access.principal import UNAUTHENTICATED, Principal


class Caller:
    """Who calls.

    Attributes:
        principal: the owner with its rights.
        ticket: what the limits take of this call; None while none applies.
    """

    __slots__ = ("principal", "ticket")

    def __init__(self, principal: Principal, ticket: Ticket | None = None) -> None:
        self.principal = principal
        self.ticket = ticket

    def admit(self) -> None:
        """Take the first row of the call, before anything of it is read.

        Raises:
            RateLimited: the key, or the address, has sent as many rows as it may.
        """
        if self.ticket is not None:
            self.ticket.take(1)

    def charge(self, rows: int) -> None:
        """Take the other rows of the call, once they were read.

        Raises:
            RateLimited: there is no room for them.
        """
        if self.ticket is not None and rows > 1:
            self.ticket.take(rows - 1)


# Whoever was not asked yet.
NOBODY_YET = Caller(UNAUTHENTICATED)
