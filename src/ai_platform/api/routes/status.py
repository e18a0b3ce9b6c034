"""`GET /`, health and readiness: what can be said of this process and of what stands behind it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson
from fastapi import Request, Response

from ai_platform import __version__
from ai_platform.access.principal import UNAUTHENTICATED
from ai_platform.api.http.auth import PUBLIC
from ai_platform.api.http.parameters import principal_of, services_of
from ai_platform.api.routes.declaration import Answer, Routes
from ai_platform.api.routes.versions_health import counts, require_versions, versions_body
from ai_platform.codecs.problem_details import RETRY_SECONDS
from ai_platform.errors import KeysUnavailable, ModelNotReady, PlatformError
from ai_platform.serving.bootstrap import Services

routes = Routes("status")

PROBE_SECONDS = 1.0


class Status(msgspec.Struct):
    """How the service does: `ok`, `degraded` or `unavailable`, and to callers with a key each part by itself."""

    status: str


_OK = {200: Answer("Status", Status)}


@routes.declare("GET", "/", scope=PUBLIC, summary="Service status", answers=_OK)
async def root(request: Request) -> Response:
    """Name, version and where to look next; without a key where one is needed, not the version."""
    body = {"service": "AI Platform", "status": "ok", "docs": "/docs", "health": "/health"}
    return _json({**body, "version": __version__} if _is_known(request) else body)


@routes.declare(
    "GET",
    "/health",
    scope=PUBLIC,
    summary="Health of the service and of what it needs",
    answers={**_OK, 503: Answer("Cannot predict now", Status)},
)
async def health(request: Request) -> Response:
    """200 while predictions can be answered, 503 when they cannot; to callers with a key each part by itself."""
    services = services_of(request)
    lease = services.settings.jobs.lease_seconds
    (redis, _), (postgres, facts) = await asyncio.gather(
        _probe(services.redis.ping), _probe(lambda: services.jobs.health(lease))
    )
    model = _model(services)
    workers = _workers(facts)
    can_predict = model["status"] == "ok"
    well = (
        can_predict
        and not counts(services.directory)["failed"]
        and all(part["status"] == "ok" for part in (redis, postgres, workers))
    )
    body = {
        "status": "ok" if well else "degraded" if can_predict else "unavailable",
        "version": __version__,
        "auth": services.settings.auth,
        "model": model,
        "models": versions_body(services.directory),
        "redis": redis,
        "postgres": postgres,
        "workers": workers,
        "jobs": {key: facts[key] for key in ("queued", "running", "oldest_queued_seconds") if key in facts},
    }
    if not principal_of(request).may_use(services.settings.models.default):
        body["model"] = {"status": model["status"]}  # its name is for those who may use it
    answer = _json(body if _is_known(request) else {"status": body["status"]}, 200 if can_predict else 503)
    if not can_predict:
        answer.headers["retry-after"] = str(RETRY_SECONDS)
    return answer


@routes.declare("GET", "/health/live", scope=PUBLIC, summary="Whether the process answers at all", answers=_OK)
async def live() -> Response:
    """200 as long as the event loop runs; asks nothing of anything else."""
    return _json({"status": "ok"})


@routes.declare(
    "GET",
    "/health/ready",
    scope=PUBLIC,
    summary="Whether requests should be sent here",
    answers=_OK,
    problems=(ModelNotReady, KeysUnavailable),
)
async def ready(request: Request) -> Response:
    """200 when the versions that `models.ready` demands are loaded, keys can be checked, and it is not stopping.

    Raises:
        ModelNotReady: a version that must be there is not.
        KeysUnavailable: it can ask nobody for a key.
    """
    services = services_of(request)
    if request.app.state.lifecycle.ending:
        raise ModelNotReady("the server is stopping")
    require_versions(services.directory, services.settings.models)
    if services.keyring is not None:
        services.keyring.require_fresh()
    return _json({"status": "ok", "versions": counts(services.directory)})


def _is_known(request: Request) -> bool:
    return principal_of(request) is not UNAUTHENTICATED


def _model(services: Services) -> dict[str, Any]:
    name = services.settings.models.default
    try:
        prepared = services.directory.current(name)
    except PlatformError as error:
        return {"status": "error", "name": name, "error": error.detail}
    return {"status": "ok", "name": name, "version": prepared.served.version}


def _workers(facts: dict[str, Any]) -> dict[str, Any]:
    if "alive" not in facts:
        return {"status": "unknown", "error": "PostgreSQL, which knows them, does not answer"}
    if not facts["alive"]:
        return {"status": "error", "alive": 0, "error": "no worker sends heartbeats; jobs are accepted and wait"}
    return {"status": "ok", "alive": facts["alive"]}


async def _probe(ask: Callable[[], Awaitable[Any]]) -> tuple[dict[str, Any], Any]:
    """How a part does, and what it answered; nothing while it does not."""
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            found = await ask()
    except Exception as error:  # noqa: BLE001  # whatever a broken neighbour raises is that neighbour's state
        what = "no answer within 1 s" if isinstance(error, TimeoutError) else type(error).__name__
        return {"status": "error", "error": what}, {}
    return {"status": "ok", "latency_ms": round((time.perf_counter() - begun) * 1000, 2)}, found


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
