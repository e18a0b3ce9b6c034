"""Following one job: its end, or each of its stages."""

import time
import uuid
from collections.abc import AsyncIterator

from ai_platform.jobs.job import Job
from ai_platform.jobs.reading import JobReader
from ai_platform.jobs.waiting import JobWatcher

# A stream that says nothing for longer is taken for dead by proxies.
HEARTBEAT_SECONDS = 15.0


async def wait_for_end(reader: JobReader, watcher: JobWatcher, job_id: uuid.UUID, owner: str, seconds: float) -> Job:
    """The job once it is final, or as it is after `seconds`.

    Raises:
        JobNotFound: the owner has no such job.
        StorageUnavailable: PostgreSQL is away.
        Overloaded: too many callers wait.
    """
    job = await reader.read(job_id, owner)
    if job.final or not seconds:
        return job
    with watcher.watching(job_id, job.stage, only_final=True) as watch:
        ended = await watch.news(seconds)
    return await reader.read(job_id, owner) if ended else job


async def stages(
    reader: JobReader, watcher: JobWatcher, first: Job, *, owner: str, after: int, seconds: float
) -> AsyncIterator[Job | None]:
    """The job at each stage beyond `after` that is seen, up to its end; None now and then as a sign of life.

    It ends early when the process does; the caller comes back and goes on from what it has seen.

    Args:
        reader: reads the job.
        watcher: tells of changes.
        first: the job as it was read last.
        owner: whose job it is.
        after: the last stage that the caller knows; -1 for none.
        seconds: longest life of the stream.

    Raises:
        StorageUnavailable: PostgreSQL is away.
        Overloaded: too many callers wait.
    """
    job, until = first, time.monotonic() + seconds
    while True:
        if job.stage > after:
            after = job.stage
            yield job
        if job.final or watcher.released or time.monotonic() > until:
            return
        with watcher.watching(job.id, after) as watch:
            if not await watch.news(min(HEARTBEAT_SECONDS, max(0.0, until - time.monotonic()))):
                yield None
        job = await reader.read(job.id, owner)
