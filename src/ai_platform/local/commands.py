"""The platform's own processes, as commands of this installation."""

import http.client
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ai_platform.processes.programs import Program, Role
from ai_platform.settings import PREFIX, Settings

LOOK_SECONDS = 0.1
STOP_SECONDS = 6.0
HTTP_SECONDS = 0.5

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # read, not bound


def environment(settings: Settings, database_url: str | None, redis_url: str | None) -> dict[str, str]:
    """The variables of each part: those of `up`, with this platform's servers and places.

    Args:
        settings: what `up` was told; its data folder is absolute.
        database_url: the embedded PostgreSQL; `None` when the environment names another.
        redis_url: the embedded Valkey; `None` when the environment names another.
    """
    variables = dict(os.environ)
    for name, url in (("DATABASE", database_url), ("REDIS", redis_url)):
        if url is not None:
            for other in ("URL_FILE", "PASSWORD", "PASSWORD_FILE"):
                variables.pop(f"{PREFIX}{name}_{other}", None)
            variables[f"{PREFIX}{name}_URL"] = url
    variables[f"{PREFIX}DATA_DIR"] = str(settings.data_dir)
    variables[f"{PREFIX}API__PORT"] = str(settings.api.port)
    variables[f"{PREFIX}API__PROCESSES"] = str(settings.api.processes)
    variables[f"{PREFIX}AUTH"] = settings.auth
    variables["PYTHONUNBUFFERED"] = "1"
    return variables


def migrate(variables: Mapping[str, str]) -> Program:
    """Schema, and a first model unless one is published; one process, because starting each takes a second."""
    return _part("migrate", ["migrate", "--with-model"], variables)


def api(variables: Mapping[str, str], settings: Settings) -> Program:
    """The HTTP face; ready when it says so. It ends by SIGINT, which does not wait long for idle connections."""
    program = _part("api", ["api"], variables, lambda _: _get(settings, "/health/ready") is not None, api_url(settings))
    return replace(program, stop_signal=signal.SIGINT)


def worker(variables: Mapping[str, str], settings: Settings) -> Program:
    """The Celery worker; ready when the API has seen its heartbeat."""
    return _part("worker", ["worker"], variables, lambda _: _workers_alive(settings) > 0)


def sweeper(variables: Mapping[str, str]) -> Program:
    """What returns lost jobs."""
    return _part("sweeper", ["sweeper"], variables)


def api_url(settings: Settings) -> str:
    """Where the API is reached from this machine."""
    host = ANYWHERE.get(settings.api.host, settings.api.host)
    return f"http://[{host}]:{settings.api.port}" if ":" in host else f"http://{host}:{settings.api.port}"


def _part(
    role: Role,
    words: list[str],
    variables: Mapping[str, str],
    ready: Callable[[int], bool] = lambda _: True,
    url: str | None = None,
) -> Program:
    return Program(
        role=role,
        command=[sys.executable, "-m", "ai_platform.cli", *words],
        environment=variables,
        folder=Path.cwd(),
        ready=ready,
        url=url,
        stop_seconds=STOP_SECONDS,
        look_seconds=LOOK_SECONDS,
    )


def _workers_alive(settings: Settings) -> int:
    health = _get(settings, "/health")
    if health is not None and health.get("status") == "ok":  # all that a caller without a key is told
        return 1
    workers = health.get("workers") if health is not None else None
    alive = workers.get("alive") if isinstance(workers, dict) else None
    return alive if isinstance(alive, int) else 0


def _get(settings: Settings, path: str) -> dict[str, Any] | None:
    """The JSON object that the API answers with 200; `None` for anything else."""
    host = ANYWHERE.get(settings.api.host, settings.api.host)
    connection = http.client.HTTPConnection(host, settings.api.port, timeout=HTTP_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return body if answer.status == http.client.OK and isinstance(body, dict) else None
