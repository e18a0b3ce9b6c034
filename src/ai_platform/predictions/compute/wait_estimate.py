"""How long calls take, as a running average beside what was measured at load; what admission reckons with."""

import random

from ai_platform.predictions.compute.pending import Call, VersionKey
from ai_platform.predictions.compute.queues import Queue, Queues
from ai_platform.predictions.model.placement import Placement

# Weight of the latest call in the averages.
_NEW = 0.2
# One call that met a cold cache or a stopped process must not have the next ones refused.
_STEEPEST = 4.0
# Most versions whose averages are kept; the first ones leave.
_MOST_KEPT = 1_000
_LONGEST_RETRY = 30


class _Pace:
    """What calls of one version take: their measured cost times a factor, because others have the same cores."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.factor = 1.0
        self.usual = placement.seconds(1)


class WaitEstimate:
    """What is known of the versions that were called."""

    def __init__(self) -> None:
        self._paces: dict[VersionKey, _Pace] = {}

    def seconds(self, group: list[Call]) -> float:
        """Seconds that calls are expected to take together."""
        pace = self._pace(group[0])
        return pace.factor * pace.placement.seconds(sum(call.rows for call in group))

    def usual(self, call: Call) -> float:
        """Seconds that a call of this version usually takes, or this one if that is longer."""
        pace = self._pace(call)
        return pace.factor * max(pace.usual, pace.placement.seconds(call.rows))

    def note(self, group: list[Call], seconds: float) -> None:
        """Learn from what calls took together."""
        pace = self._pace(group[0])
        measured = max(pace.placement.seconds(sum(call.rows for call in group)), 1e-6)
        pace.factor += _NEW * (min(seconds / measured, _STEEPEST * pace.factor) - pace.factor)
        pace.usual += _NEW * (measured / len(group) - pace.usual)

    def wait(self, call: Call, queues: Queues) -> float:
        """Seconds of work, for one slot, that a new call would have before it in the queues.

        Before its turn come the groups of its own queue, and of every other queue as many and one.
        """
        own = queues.of(call.key)
        joins = own is not None and 0 < call.rows <= -own.rows % own.most_rows
        turns = 0 if own is None else own.groups - joins
        return sum(
            self._ahead(key, queue, turns if key == call.key else turns + 1) for key, queue in queues if queue.calls
        )

    def _ahead(self, key: VersionKey, queue: Queue, turns: int) -> float:
        pace = self._paces.get(key)
        if pace is None or turns <= 0:
            return 0.0
        groups = queue.groups
        whole = groups * pace.placement.call_seconds + queue.rows * pace.placement.row_seconds
        return pace.factor * whole * min(1.0, turns / groups)

    def _pace(self, call: Call) -> _Pace:
        pace = self._paces.get(call.key)
        if pace is None:
            if len(self._paces) >= _MOST_KEPT:
                del self._paces[next(iter(self._paces))]
            pace = self._paces[call.key] = _Pace(call.prepared.placement)
        return pace


def retry_after(wait: float) -> int:
    """Whole seconds, 1 to 30, after which a retry finds room; not the same for all who are refused together."""
    spread = random.random() * max(1.0, wait)  # noqa: S311  # no secret
    return min(_LONGEST_RETRY, 1 + int(wait + spread))
