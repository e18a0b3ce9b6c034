"""The application in this process and without a socket, for what is measured part by part."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from ai_platform.api.app import Application, create
from ai_platform.api.http.request_head import RequestHead
from ai_platform.api.prediction.paths import PredictionPath
from ai_platform.settings import Settings

READY_SECONDS = 30
WARM = 5


@contextlib.asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[Application]:
    """The application, once its models and keys are loaded."""
    made = create(settings)
    async with made.routes.router.lifespan_context(made.routes):
        services: Any = made.services
        async with asyncio.timeout(READY_SECONDS):
            while not (services.directory.summary() and services.keyring.is_fresh()):  # noqa: ASYNC110  # threads do it
                await asyncio.sleep(0.1)
        yield made


def headers(key: str, body: bytes) -> list[tuple[bytes, bytes]]:
    """As they come with a prediction."""
    return [
        (b"host", b"localhost"), (b"content-type", b"application/json"),
        (b"authorization", b"Bearer " + key.encode()), (b"content-length", b"%d" % len(body)),
    ]  # fmt: skip


def target_of(made: Application) -> PredictionPath:
    """The route that is measured."""
    return made.fast_path.targets[b"/predict/"]


def head(made: Application, of: list[tuple[bytes, bytes]]) -> RequestHead:
    """Of such a request."""
    return RequestHead("POST", target_of(made).route, b"/predict/", b"", of)


def thread_micros(run: Callable[[], Any], calls: int) -> float:
    """Microseconds of the thread's processor time for a call."""
    begun = time.thread_time()
    for _ in range(calls):
        run()
    return (time.thread_time() - begun) / calls * 1e6


def median_micros(run: Callable[[], Any], calls: int, repeats: int) -> float:
    """The median over the repeats; the first few, which warm up, are not counted."""
    return statistics.median([thread_micros(run, calls) for _ in range(repeats + WARM)][WARM:])
