"""A call: one request's prediction on its way through a queue and a slot, to the caller who waits for it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ai_platform.errors import PlatformError
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs
from ai_platform.telemetry import PREDICTIONS_ABANDONED

VersionKey = tuple[str, int]


@dataclass(eq=False, slots=True)
class Call:
    """One request's prediction.

    Attributes:
        prepared: the version.
        instances: what to predict.
        answer: what the caller waits for; done early when the deadline passes or the caller gives up.
        deadline: on the monotonic clock, in seconds; None for none.
        is_gone: whether the caller has closed the connection; None when nobody can tell.
        isolated: it must not share a call with others any more.
        deaths: compute processes that have died over it.
        timer: ends its waiting.
    """

    prepared: PreparedModel
    instances: Instances
    answer: "asyncio.Future[Outputs]"
    deadline: float | None = None
    is_gone: Callable[[], bool] | None = None
    isolated: bool = False
    deaths: int = 0
    timer: asyncio.TimerHandle | None = None
    key: VersionKey = field(init=False)
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.prepared.served.name, self.prepared.served.version)
        self.rows = len(self.instances.rows)

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def give(self, outputs: Outputs) -> None:
        """Answer the caller, if there is one still."""
        self.stop_timer()
        if self.answer.done():
            self.count_abandoned("late")
        else:
            self.answer.set_result(outputs)

    def fail(self, error: PlatformError) -> None:
        """Tell the caller, if there is one still."""
        self.stop_timer()
        if not self.answer.done():
            self.answer.set_exception(error)

    def abandon(self, reason: str, error: PlatformError) -> None:
        """The same for a call that was not begun, and will not be."""
        self.count_abandoned(reason)
        self.fail(error)

    def count_abandoned(self, reason: str) -> None:
        """Count that nobody waits for it."""
        PREDICTIONS_ABANDONED.labels(self.key[0], reason).inc()

    def stop_timer(self) -> None:
        """It no longer waits by itself."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
