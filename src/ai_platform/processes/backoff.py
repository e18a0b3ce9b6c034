"""When a process that died is started again: pauses that double, and begin anew after a good life."""

_MOST_DOUBLINGS = 10


class Backoff:
    """The pauses of one process.

    Args:
        first: seconds of the first pause.
        longest: seconds that no pause exceeds.
        good_life: seconds after which a death is the first again.
        free: deaths in a row that cost no pause.
    """

    def __init__(self, first: float, longest: float, good_life: float, free: int = 0) -> None:
        self._first, self._longest, self._good_life, self._free = first, longest, good_life, free
        self._deaths = 0

    def after(self, lived: float) -> float:
        """Seconds until the next start, of one that lived so long."""
        if lived >= self._good_life:
            self._deaths = 0
        self._deaths = min(self._deaths + 1, _MOST_DOUBLINGS + self._free)
        paid = self._deaths - self._free
        return min(self._first * 2.0 ** (paid - 1), self._longest) if paid > 0 else 0.0
