"""What waits for a slot: a queue a version, served in turn, so that no model's queue starves another's."""

from collections import deque
from collections.abc import Iterator

from ai_platform.errors import CallerLeft, DeadlineExceeded
from ai_platform.predictions.compute.pending import Call, VersionKey


class Queue:
    """Calls of one version in the order of their arrival.

    Args:
        most_rows: rows that calls share at most; 1 when each is computed by itself.
    """

    def __init__(self, most_rows: int) -> None:
        self.calls: deque[Call] = deque()
        self.rows = 0
        self.most_rows = most_rows

    @property
    def groups(self) -> int:
        """How many computations it will take, about."""
        return min(len(self.calls), max(1, -(-self.rows // self.most_rows))) if self.most_rows > 1 else len(self.calls)

    def take(self) -> list[Call]:
        """The first call, and with it whatever can share its computation."""
        first = self._first()
        if first is None:
            return []
        group, rows = [first], first.rows
        while self.calls and not first.isolated and rows + self.calls[0].rows <= self.most_rows:
            if self.calls[0].isolated:
                break
            more = self._first()
            if more is not None:
                group.append(more)
                rows += more.rows
        return group

    def _first(self) -> Call | None:
        """The first call that somebody waits for; those before it are let go."""
        while self.calls:
            call = self.calls.popleft()
            self.rows -= call.rows
            if call.answer.done():
                continue
            if call.is_late:
                call.abandon("deadline", DeadlineExceeded("the deadline passed while the prediction waited"))
            elif call.is_gone is not None and call.is_gone():
                call.abandon("left", CallerLeft("the caller left before the prediction was begun"))
            else:
                return call
        return None


class Queues:
    """The queues of one place. Used on the event loop alone.

    Args:
        most_rows: rows that calls of a model which gains by it share at most.
    """

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        # In the order of their turns: who is served goes to the end.
        self._queues: dict[VersionKey, Queue] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[VersionKey, Queue]]:
        return iter(self._queues.items())

    def of(self, key: VersionKey) -> Queue | None:
        """A version's queue, if any of its calls waits."""
        return self._queues.get(key)

    def add(self, call: Call) -> None:
        """At the end of its version's queue."""
        queue = self._of(call)
        queue.calls.append(call)
        queue.rows += call.rows
        self._count += 1

    def put_back(self, calls: list[Call]) -> None:
        """At the beginning, in their order: they were there before."""
        for call in reversed(calls):
            queue = self._of(call)
            queue.calls.appendleft(call)
            queue.rows += call.rows
            self._count += 1

    def remove(self, call: Call) -> bool:
        """Out of its queue; False when it was not in it."""
        queue = self._queues.get(call.key)
        if queue is None or call not in queue.calls:
            return False
        queue.calls.remove(call)
        queue.rows -= call.rows
        self._count -= 1
        return True

    def take(self) -> list[Call]:
        """The next version's turn: its first call, with all that can be computed together with it."""
        while self._queues:
            key = next(iter(self._queues))
            queue = self._queues.pop(key)
            before = len(queue.calls)
            group = queue.take()
            self._count -= before - len(queue.calls)
            if queue.calls:
                self._queues[key] = queue
            if group:
                return group
        return []

    def drain(self) -> list[Call]:
        """All of them, taken out."""
        calls = [call for queue in self._queues.values() for call in queue.calls]
        self._queues.clear()
        self._count = 0
        return calls

    def _of(self, call: Call) -> Queue:
        queue = self._queues.get(call.key)
        if queue is None:
            batch = min(self._most_rows, call.prepared.placement.batch_rows)
            queue = self._queues[call.key] = Queue(batch)
        return queue
