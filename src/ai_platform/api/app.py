"""The application: FastAPI for most routes, the prediction endpoint in front of it, one middleware around both."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ai_platform import __version__
from ai_platform.api.draining import Lifecycle
from ai_platform.api.http.answers import internal
from ai_platform.api.http.asgi import App
from ai_platform.api.http.context import context_of
from ai_platform.api.http.cors import CrossOrigin
from ai_platform.api.http.head_requests import HeadAsGet
from ai_platform.api.http.hosts import Hosts
from ai_platform.api.http.middleware import Middleware
from ai_platform.api.openapi import docs
from ai_platform.api.openapi.document import describe
from ai_platform.api.prediction.endpoint import PredictionEndpoint
from ai_platform.api.prediction.fast_path import FastPath
from ai_platform.api.prediction.paths import PredictionPaths
from ai_platform.api.routes import aliases, audit, jobs, keys, metrics, models, status
from ai_platform.api.routes.declaration import add
from ai_platform.errors import InvalidParameter, MethodNotAllowed, NotFound, PlatformError
from ai_platform.serving.bootstrap import Services
from ai_platform.settings import Settings

# All routes but those of predictions.
ROUTES = tuple(module.routes for module in (status, models, aliases, jobs, metrics, keys, audit, docs))


@dataclass(frozen=True)
class Application:
    """The whole application of one API process, with its two paths for predictions.

    Attributes:
        app: answers every request (ASGI).
        fast_path: answers those that it can where they are read.
        routes: FastAPI, behind the prediction endpoint.
        services: what all of them use; started and stopped with the lifespan of `app`.
    """

    app: App
    fast_path: FastPath
    routes: FastAPI
    services: Services


def create(settings: Settings, lifecycle: Lifecycle | None = None) -> Application:
    """The application; its services start with its lifespan.

    Args:
        settings: the platform's settings.
        lifecycle: of the process, where it has a server of its own.
    """
    services, hosts = Services(settings), Hosts(settings.api.allowed_hosts)
    behind = routes(services, lifecycle or Lifecycle())
    paths = PredictionPaths(settings.models.default)
    app: App = Middleware(PredictionEndpoint(HeadAsGet(behind), paths, services), hosts)
    if settings.api.cors_origins:
        app = CrossOrigin(app, settings.api.cors_origins)
    return Application(app, FastPath(paths, services, hosts), behind, services)


def routes(services: Services, lifecycle: Lifecycle) -> FastAPI:
    """FastAPI with every route but the predictions."""
    app = FastAPI(
        title="AI Platform", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        lifespan=lambda _app: _lifespan(services, lifecycle),
    )  # fmt: skip
    app.state.settings = services.settings
    app.state.services = services
    app.state.lifecycle = lifecycle
    app.state.declared = [one for group in ROUTES for one in group.declared]
    add(app, ROUTES)
    app.router.redirect_slashes = False
    for kind in (PlatformError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _answer_fact)
    app.openapi = lambda: describe(app.state.declared, services)  # type: ignore[method-assign]
    return app


@contextlib.asynccontextmanager
async def _lifespan(services: Services, lifecycle: Lifecycle) -> AsyncIterator[None]:
    await services.start()
    lifecycle.on_ending.append(services.watcher.release)
    if lifecycle.patience:
        await services.until_able(lifecycle.patience, lambda: lifecycle.ending)
    try:
        yield
    finally:
        await services.close()


async def _answer_fact(request: Request, error: Exception) -> Response:
    """What a route raised, or the framework found, in the form of the request's protocol."""
    status, headers, body = context_of(request.scope).codec.error(_fact(error))
    return Response(body, status, headers)


def _fact(error: Exception) -> PlatformError:
    if isinstance(error, PlatformError):
        return error
    if isinstance(error, RequestValidationError):
        return InvalidParameter(str(error.errors()[0]["loc"][-1]), "is not of its form")
    if not isinstance(error, HTTPException):
        return internal()  # the middleware logs it
    if error.status_code == 405:  # noqa: PLR2004
        allowed = (error.headers or {}).get("Allow", "GET").split(", ")
        return MethodNotAllowed(
            ", ".join([*allowed, "HEAD"] if "GET" in allowed and "HEAD" not in allowed else allowed)
        )
    return NotFound("no route answers to this path")
