"""uvicorn, as this platform runs it."""

import math

import uvicorn

from ai_platform import failpoints
from ai_platform.access.exposure import require_protected
from ai_platform.api.app import create
from ai_platform.settings import Settings
from ai_platform.telemetry import configure_logging


def run(settings: Settings) -> None:
    """Serve until SIGTERM; open requests then have `api.drain_seconds` to finish.

    Raises:
        InvalidSettings: without authentication, it would answer to other machines.
    """
    require_protected(settings)
    configure_logging(settings.log, "api")
    failpoints.configure(settings.failpoints_dir)
    config = uvicorn.Config(
        create(settings),
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.api.trusted_proxies),
        forwarded_allow_ips=settings.api.trusted_proxies,
        timeout_graceful_shutdown=math.ceil(settings.api.drain_seconds),
        lifespan="on",
    )
    uvicorn.Server(config).run()
