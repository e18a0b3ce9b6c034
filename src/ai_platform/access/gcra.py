"""The generic cell rate algorithm (ITU-T I.371, annex A) for rows: one number a bucket, when its debt is paid."""

import math
from dataclasses import dataclass

# Bounds of a rate: one row in about a quarter of an hour, and more than any process reads. Outside them, a bucket's
# times could not be told as microseconds, to Redis or in a header.
SLOWEST_ROWS_PER_SECOND = 1e-3
FASTEST_ROWS_PER_SECOND = 1e9
MOST_BURST_ROWS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """How many rows may come.

    Attributes:
        rows_per_second: in the long run.
        burst: rows that may come at once after a pause.
    """

    rows_per_second: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds that one row takes of the bucket."""
        return 1 / self.rows_per_second


def limit_of(rows_per_second: float | None, burst: int | None) -> Limit | None:
    """A limit from what a key or the settings say: no rate, no limit; no burst, one second's worth.

    What lies outside the bounds, as a key may that was made before there were any, counts as the nearest bound.
    """
    if not rows_per_second:
        return None
    rate = SLOWEST_ROWS_PER_SECOND
    if rows_per_second >= SLOWEST_ROWS_PER_SECOND:  # which is false for what is no number
        rate = min(rows_per_second, FASTEST_ROWS_PER_SECOND)
    return Limit(rate, min(burst or max(1, round(rate)), MOST_BURST_ROWS))


class Bucket:
    """What one key or address has used, on this process's monotonic clock.

    Attributes:
        limit: of it.
        policy: the limit as the header RateLimit-Policy says it.
        full_until: the theoretical arrival time: when all that was admitted will have been paid for.
        unsettled: rows that were admitted here and that Redis has not been told of.
        unsettled_since: when the first of them was.
    """

    __slots__ = ("full_until", "limit", "policy", "unsettled", "unsettled_since")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.policy = f"q={limit.burst};w={math.ceil(limit.burst * limit.interval)}"
        self.full_until = 0.0
        self.unsettled = 0
        self.unsettled_since = 0.0

    def take(self, rows: int, now: float, share: int = 1) -> float:
        """Take rows, if there is room for them.

        What is larger than a whole burst is admitted into an empty bucket, and paid for afterwards.

        Args:
            rows: how many.
            now: seconds, monotonic.
            share: among how many processes the limit is divided; 1 when each of them sees all that the others use.

        Returns:
            0 when they were taken, else the seconds after which they would be.
        """
        interval = self.limit.interval * share
        burst = max(1.0, self.limit.burst / share)
        wait = max(self.full_until, now) + min(rows, burst) * interval - now - burst * interval
        if wait > 1e-9:  # noqa: PLR2004  # sums of floats: a whole burst is as large as itself
            return wait
        self.full_until = max(self.full_until, now) + rows * interval
        if not self.unsettled:
            self.unsettled_since = now
        self.unsettled += rows
        return 0.0

    def give_back(self, rows: int, share: int = 1) -> None:
        """Undo a `take`."""
        self.full_until -= rows * self.limit.interval * share
        self.unsettled -= rows

    def left(self, now: float) -> int:
        """Rows for which there is room now."""
        used = max(0.0, self.full_until - now) * self.limit.rows_per_second
        return max(0, int(self.limit.burst - used + 1e-6))

    def idle(self, now: float) -> bool:
        """Whether nothing of it need be remembered."""
        return self.full_until <= now and not self.unsettled
