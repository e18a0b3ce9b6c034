"""uvicorn, as this platform runs it."""

import contextlib
import resource

import uvicorn

from ai_platform import failpoints
from ai_platform.access.exposure import require_protected
from ai_platform.api.app import create
from ai_platform.api.draining import DrainingServer, Life
from ai_platform.api.protocol import bounded
from ai_platform.settings import Settings
from ai_platform.telemetry import configure_logging

# Connections to PostgreSQL and Redis, libraries, logs, model files.
OTHER_FILES = 512


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; `DrainingServer` says how it ends.

    Raises:
        InvalidSettings: without authentication, it would answer to other machines.
    """
    require_protected(settings)
    configure_logging(settings.log, "api")
    failpoints.configure(settings.failpoints_dir)
    _allow_files(settings.limits.connections + OTHER_FILES)
    with contextlib.suppress(KeyboardInterrupt):
        server(settings).run()


def _allow_files(wanted: int) -> None:
    """Each connection is an open file, of which a shell usually allows 1,024 and the system many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def server(settings: Settings) -> DrainingServer:
    """The server of one process, with the application in it."""
    life = Life()
    return DrainingServer(configuration(settings, life), life, settings.api)


def configuration(settings: Settings, life: Life) -> uvicorn.Config:
    """Uvicorn's configuration, with the application in it."""
    return uvicorn.Config(
        create(settings, life),
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        http=bounded(settings.limits, life),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.api.trusted_proxies),
        forwarded_allow_ips=settings.api.trusted_proxies,
        lifespan="on",
    )
