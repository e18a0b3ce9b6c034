"""The services of a process that predicts: made here alone, started and stopped in order."""

import asyncio
import contextlib
from collections.abc import Callable

from ai_platform.access.keyring import Keyring
from ai_platform.access.limiter import Limiter
from ai_platform.jobs.acceptance import JobAcceptance
from ai_platform.jobs.backlog import Backlog
from ai_platform.jobs.notifier import Notifier
from ai_platform.jobs.reading import JobReader
from ai_platform.jobs.waiting import JobWatcher
from ai_platform.models.publishing import Publisher
from ai_platform.models.registry.reading import ModelReader
from ai_platform.predictions.cache import AnswerCache
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.predictions.compute.computing import Computing
from ai_platform.predictions.compute.ipc import Hello
from ai_platform.predictions.log.recorder import PredictionLog
from ai_platform.serving.authorizer import Authorizer
from ai_platform.serving.counting import Counting
from ai_platform.serving.decoding import Decoding
from ai_platform.serving.predictor import Predictor
from ai_platform.serving.resolver import Resolver
from ai_platform.serving.service import Serving
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis

LOOK_SECONDS = 0.02


class Services:
    """The packages below, wired once; nothing is opened and no thread started before `start`.

    Args:
        settings: the platform's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = database = Database.of(settings)
        redis = Redis.of(settings)
        self.pool = database.async_pool("api")
        self.redis = redis.async_client()
        load_seconds = settings.models.load_seconds
        computing = Computing(settings.api, Hello.of(settings), settings.jobs.hard_limit_seconds, load_seconds)
        self.directory = ModelDirectory.of(settings, "api", computing)
        self.predictor = Predictor(
            AnswerCache(redis, settings.cache), PredictionLog(database, settings.prediction_log, "api"), computing
        )
        self.notifier = Notifier(redis)
        self.backlog = Backlog(settings.jobs, self.pool)
        self.acceptance = JobAcceptance(
            settings.jobs, settings.api.accept_seconds, self.pool, self.notifier, self.backlog
        )
        self.jobs = JobReader(self.pool)
        self.watcher = JobWatcher(redis, settings.limits.waiters, self.jobs)
        self.models = ModelReader(database)
        self.publisher = Publisher.of(settings)
        self.keyring = Keyring(database, settings.access) if settings.auth == "on" else None
        self.limiter = Limiter(redis, settings.access)
        self.authorizer = Authorizer(self.keyring, self.limiter)
        self.counting = Counting()
        resolver = Resolver(self.directory, load_seconds)
        self.serving = Serving(self.authorizer, resolver, Decoding(), self.predictor, self.acceptance)

    async def start(self) -> None:
        """Start everything; none of it waits for PostgreSQL or Redis to be there."""
        await self.pool.open(wait=False)
        if self.keyring is not None:
            self.keyring.start()
        self.limiter.start()
        self.counting.start()
        self.predictor.start()
        self.directory.start()
        self.backlog.start()
        self.notifier.start()
        self.acceptance.start()
        self.watcher.start()

    async def until_able(self, seconds: float, given_up: Callable[[], bool]) -> None:
        """Wait until this process can do what the others of its port do, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (self._is_able() or given_up()):  # noqa: ASYNC110  # threads bring it about
                    await asyncio.sleep(LOOK_SECONDS)

    def _is_able(self) -> bool:
        return self.directory.is_complete and (self.keyring is None or self.keyring.is_fresh())

    async def close(self) -> None:
        """Stop in the reverse order."""
        await self.watcher.close()
        await self.acceptance.close()
        await self.backlog.close()
        self.notifier.close()
        await self.predictor.close()
        self.directory.stop()
        await self.counting.close()
        await self.limiter.close()
        if self.keyring is not None:
            self.keyring.stop()
        await self.redis.aclose()
        await self.pool.close(timeout=1)
