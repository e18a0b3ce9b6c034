"""Waiting for jobs: one query watches for all who wait, hurried by a hint from Redis. Nobody holds a connection."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator

import redis.asyncio
import redis.exceptions

from ai_platform.errors import Overloaded
from ai_platform.jobs.job import FINAL, stage
from ai_platform.jobs.reading import JobReader
from ai_platform.processes.background import TaskLoop
from ai_platform.storage.redis import KEY_PREFIX, Redis
from ai_platform.telemetry import logger

log = logger(__name__)

FINISHED_CHANNEL = f"{KEY_PREFIX}finished"
FIRST_LOOK = 0.02
LONGEST_PAUSE = 0.5
RECONNECT_PAUSE = 1.0
# A hint that names more jobs than this is taken as one for everybody, because looking is cheaper than comparing.
FEW = 64


class Watch:
    """One caller's interest in one job.

    Args:
        after: the stage that the caller knows already.
        only_final: whether nothing but the end is of interest.
    """

    def __init__(self, after: int, *, only_final: bool) -> None:
        self._after = after
        self._only_final = only_final
        self._changed = asyncio.Event()

    def tell(self, state: str, attempt: int) -> None:
        """Wake the caller if this is news."""
        if state in FINAL or (not self._only_final and stage(state, attempt) > self._after):
            self._changed.set()

    def release(self) -> None:
        """Wake the caller in any case."""
        self._changed.set()

    async def news(self, seconds: float) -> bool:
        """Whether there was news within that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


class JobWatcher:
    """Looks at all watched jobs in one query, soon after a hint and otherwise ever more rarely, down to twice a second.

    Args:
        redis: which carries the hints.
        most: watches at once.
        reader: reads the states.

    Attributes:
        released: whether nobody waits here any more, because the process ends.
    """

    def __init__(self, redis: Redis, most: int, reader: JobReader) -> None:
        self._reader = reader
        self._most = most
        self._redis = redis.async_client()
        self._watches: dict[uuid.UUID, set[Watch]] = {}
        self._count = 0
        self._hint = asyncio.Event()
        self.released = False
        self._pause = FIRST_LOOK
        self._loops = (
            TaskLoop("job-watch", self._watch, failure="jobs not watched", pause=LONGEST_PAUSE),
            TaskLoop("job-hints", self._listen_again, failure="hints not read", pause=RECONNECT_PAUSE, asks_redis=True),
        )

    def start(self) -> None:
        """Begin to look."""
        for loop in self._loops:
            loop.start()

    async def close(self) -> None:
        """Stop looking."""
        for loop in self._loops:
            await loop.close()
        await self._redis.aclose()

    def release(self) -> None:
        """Let everybody go who waits, and who comes from now on: they are told how things stand."""
        self.released = True
        for watches in self._watches.values():
            for watch in watches:
                watch.release()

    def require_room(self) -> None:
        """Refuse one more who waits, if there is no room.

        Raises:
            Overloaded: as many callers wait as this process takes on.
        """
        if self._count >= self._most:
            raise Overloaded("too many callers wait for jobs; ask again without waiting")

    @contextlib.contextmanager
    def watching(self, job_id: uuid.UUID, after: int, *, only_final: bool = False) -> Iterator[Watch]:
        """Watch a job for as long as the context is open.

        Raises:
            Overloaded: as many callers wait as this process takes on.
        """
        self.require_room()
        watch = Watch(after, only_final=only_final)
        if self.released:
            watch.release()
        self._watches.setdefault(job_id, set()).add(watch)
        self._count += 1
        self._hint.set()
        try:
            yield watch
        finally:
            self._count -= 1
            others = self._watches[job_id]
            others.discard(watch)
            if not others:
                del self._watches[job_id]

    async def _watch(self) -> float:
        if not self._watches:
            self._hint.clear()
            await self._hint.wait()
        hinted = await self._sleep_or_hint(self._pause)
        self._pause = FIRST_LOOK if hinted else min(self._pause * 1.5, LONGEST_PAUSE)
        await self._look()
        return 0.0

    async def _sleep_or_hint(self, pause: float) -> bool:
        try:
            async with asyncio.timeout(pause):
                await self._hint.wait()
        except TimeoutError:
            return False
        self._hint.clear()
        return True

    async def _look(self) -> None:
        if not self._watches:
            return
        for row in await self._reader.states(list(self._watches)):
            for watch in self._watches.get(row["id"], ()):
                watch.tell(row["state"], row["attempt"])

    async def _listen_again(self) -> float:
        with contextlib.suppress(redis.exceptions.RedisError, OSError, TimeoutError):
            await self._listen()
        return RECONNECT_PAUSE  # polling goes on meanwhile

    async def _listen(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(FINISHED_CHANNEL)
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=10)
                if message is not None and self._concerns_a_watch(message["data"]):
                    self._hint.set()

    def _concerns_a_watch(self, data: bytes) -> bool:
        named = data.split()
        if len(named) > FEW:
            return bool(self._watches)
        try:
            return any(uuid.UUID(name.decode("ascii")) in self._watches for name in named)
        except ValueError:
            return False
