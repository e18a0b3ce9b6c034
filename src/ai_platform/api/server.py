"""uvicorn, as this platform runs it."""

import math
import resource

import uvicorn

from ai_platform import failpoints
from ai_platform.access.exposure import require_protected
from ai_platform.api.app import create
from ai_platform.api.protocol import bounded
from ai_platform.settings import Settings
from ai_platform.telemetry import configure_logging

# Connections to PostgreSQL and Redis, libraries, logs, model files.
OTHER_FILES = 512


def run(settings: Settings) -> None:
    """Serve until SIGTERM; open requests then have `api.drain_seconds` to finish.

    Raises:
        InvalidSettings: without authentication, it would answer to other machines.
    """
    require_protected(settings)
    configure_logging(settings.log, "api")
    failpoints.configure(settings.failpoints_dir)
    _allow_files(settings.limits.connections + OTHER_FILES)
    uvicorn.Server(configuration(settings)).run()


def _allow_files(wanted: int) -> None:
    """Each connection is an open file, of which a shell usually allows 1,024 and the system many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def configuration(settings: Settings) -> uvicorn.Config:
    """The server's configuration, with the application in it."""
    application = create(settings)
    return uvicorn.Config(
        application.app,
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        http=bounded(settings.limits, application.express),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.api.trusted_proxies),
        forwarded_allow_ips=settings.api.trusted_proxies,
        timeout_graceful_shutdown=math.ceil(settings.api.drain_seconds),
        lifespan="on",
    )
