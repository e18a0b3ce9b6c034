"""`GET /metrics` in Prometheus' text format; the queue is read from PostgreSQL at most every few seconds."""

import asyncio
import re
import time
from collections.abc import Collection

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ai_platform.api.http.parameters import principal_of, services_of
from ai_platform.api.routes.declaration import Answer, Routes
from ai_platform.api.shared_metrics import exposition
from ai_platform.jobs.invariants import INVARIANTS, broken
from ai_platform.serving.bootstrap import Services
from ai_platform.telemetry import BROKEN, JOBS, QUEUE_AGE, WORKERS, flush_tallies, logger

routes = Routes("status")
log = logger(__name__)

FRESH_SECONDS = 5.0
INVARIANTS_SECONDS = 60.0
PATIENCE_SECONDS = 2.0
_MODEL = re.compile(rb'[{,]model="([^"]*)"')
STATES = ("queued", "running", "succeeded", "failed", "cancelled", "expired")


@routes.declare(
    "GET",
    "/metrics",
    scope="metrics",
    summary="Metrics for Prometheus",
    answers={200: Answer("Metrics", media_type="text/plain")},
)
async def metrics(request: Request) -> Response:
    """All metrics of this process or, where several share a port, of all of them, and those of the queue.

    A key for some models alone gets no figure of another.
    """
    services = services_of(request)
    if _due(request, "queue_read_at", FRESH_SECONDS):
        await _read_queue(services)
    if _due(request, "invariants_read_at", INVARIANTS_SECONDS):
        await _read_invariants(services)
    flush_tallies()
    told, models = exposition(), principal_of(request).models
    return Response(told if models is None else of_models(told, models), media_type=CONTENT_TYPE_LATEST)


def of_models(told: bytes, models: Collection[str]) -> bytes:
    """Metrics in the text format without the samples of other models than these, which the label `model` names.

    Names of models hold nothing that the format escapes.
    """
    own = {model.encode() for model in models}
    lines = told.splitlines(keepends=True)
    return b"".join(line for line in lines if own.issuperset(_MODEL.findall(line)))


def _due(request: Request, what: str, seconds: float) -> bool:
    now = time.monotonic()
    if now - getattr(request.app.state, what, -seconds) < seconds:
        return False
    setattr(request.app.state, what, now)
    return True


async def _read_invariants(services: Services) -> None:
    """In a thread: these queries may take long on a large table."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await asyncio.to_thread(broken, services.database, services.settings.jobs)
    except Exception as error:  # noqa: BLE001  # metrics answer without these figures rather than not at all
        log.warning("invariants not checked for metrics", why=type(error).__name__)
        return
    for name in INVARIANTS:
        BROKEN.labels(name).set(len(found.get(name, ())))


async def _read_queue(services: Services) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            counts = await services.jobs.counts()
            health = await services.jobs.health(services.settings.jobs.lease_seconds)
    except Exception as error:  # noqa: BLE001  # metrics answer without the queue's figures rather than not at all
        log.warning("queue not read for metrics", why=type(error).__name__)
        return
    for state in STATES:
        JOBS.labels(state).set(counts.get(state, 0))
    QUEUE_AGE.set(health["oldest_queued_seconds"])
    WORKERS.set(health["alive"])
